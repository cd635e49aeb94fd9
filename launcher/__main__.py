"""``python -m launcher``: the same as the command ``resnet-launch``."""

from launcher.cli import main

main()
