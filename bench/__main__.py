"""List the measurements of this folder: `python -m bench`. Each is a command of its own with `--help`."""

import ast
from pathlib import Path

PARTS = {
    "__main__",
    "cpu_ours",
    "cpu_torch",
    "data_clock",
    "data_ours",
    "data_tf",
    "data_torch",
    "gpu_ceilings",
    "gpu_ours",
    "gpu_parts",
    "gpu_table",
    "gpu_torch",
    "levers",
}  # modules that the measurements run


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in PARTS:
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            print(f"python bench/{path.name:<20}{text.splitlines()[0]}")


if __name__ == "__main__":
    main()
