"""``python -m launcher``: the same as the command ``resnet-launch``."""

import sys

from launcher.cli import main

sys.exit(main())
