"""Every hint that the two packages can give, read from their source: what a call passes as `hint`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Module:
    """One source file: its functions by name, and the strings that it names at its top."""

    path: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    constants: dict[str, ast.expr] = field(default_factory=dict)


def modules() -> list[Module]:
    result = []
    for path in sorted([*ROOT.glob("launcher/**/*.py"), *ROOT.glob("trainer/**/*.py")]):
        module = Module(str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef):
                module.functions[node.name] = node
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                module.constants[node.targets[0].id] = node.value
        result.append(module)
    return result


def _callee(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _parameters(function: ast.FunctionDef) -> list[str]:
    names = [argument.arg for argument in function.args.args]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _positions(all_modules: list[Module]) -> dict[str, int]:
    """Return, for each class or function that takes a `hint`, which positional argument it is."""
    positions: dict[str, int] = {}
    bases: dict[str, list[str]] = {}
    own_init: set[str] = set()
    for module in all_modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                names = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]  # type: ignore
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                        names = _parameters(item)
                        own_init.add(node.name)
                if "hint" in names:
                    positions[node.name] = names.index("hint")
            elif (
                isinstance(node, ast.FunctionDef) and node.name != "__init__" and "hint" in _parameters(node)
            ):
                positions[node.name] = _parameters(node).index("hint")
    changed = True
    while changed:  # a subclass without an __init__ of its own takes what its base takes
        missing = [name for name in bases if name not in positions and name not in own_init]
        inherited = {name: positions[base] for name in missing for base in bases[name] if base in positions}
        positions |= inherited
        changed = bool(inherited)
    return positions


class _Texts:
    """Follows a hint's expression to its texts; `{}` stands for what is filled in at run time."""

    def __init__(self, module: Module, function: ast.FunctionDef | None, others: dict[str, Module]) -> None:
        self.module, self.function, self.others = module, function, others
        self.seen: set[int] = set()

    def of(self, node: ast.expr) -> Iterator[str]:
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr():
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                yield "".join(parts)
            case ast.IfExp():
                yield from self.of(node.body)
                yield from self.of(node.orelse)
            case ast.BoolOp():
                for value in node.values:
                    yield from self.of(value)
            case ast.BinOp(op=ast.Add()):
                left, right = list(self.of(node.left)) or ["{}"], list(self.of(node.right)) or ["{}"]
                yield from (first + second for first in left for second in right)
            case ast.Name(id=name):
                yield from self._assigned(name)
            case ast.Subscript(value=ast.Name(id=name)) if isinstance(self._constant(name), ast.Dict):
                table = self._constant(name)
                assert isinstance(table, ast.Dict)
                for value in table.values:
                    yield from self.of(value)
            case ast.Call():
                yield from self._returned(node)
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if other := self.others.get(name):
                yield from _Texts(other, None, self.others).of(other.constants.get(attr, ast.Constant("")))

    def _constant(self, name: str) -> ast.expr | None:
        return self.module.constants.get(name)

    def _assigned(self, name: str) -> Iterator[str]:
        """Follow a variable to what its function assigns to it, or a constant to its text."""
        for node in ast.walk(self.function) if self.function else ():
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield from self.of(node.value)  # type: ignore[union-attr]
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):  # type: ignore[union-attr]
                    for element, value in zip(target.elts, node.value.elts, strict=True):  # type: ignore[union-attr]
                        if isinstance(element, ast.Name) and element.id == name:
                            yield from self.of(value)
        if constant := self._constant(name):
            yield from self.of(constant)

    def _returned(self, call: ast.Call) -> Iterator[str]:
        """Follow a call to what the function of this module returns, or the text that `format` fills."""
        if isinstance(call.func, ast.Attribute) and call.func.attr == "format":
            yield from self.of(call.func.value)
        function = self.module.functions.get(_callee(call))
        if function is None or function is self.function:
            return
        inner = _Texts(self.module, function, self.others)
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value:
                yield from inner.of(node.value)


def _passed(all_modules: list[Module]) -> Iterator[tuple[Module, ast.FunctionDef | None, int, ast.expr]]:
    """Yield (module, enclosing function, line, expression) of each `hint` that a call passes."""
    positions = _positions(all_modules)
    for module in all_modules:
        functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
        owner = {
            id(node): function for function in functions for node in ast.walk(function)
        }  # innermost is last
        for call in ast.walk(module.tree):
            if not isinstance(call, ast.Call) or _callee(call) not in positions:
                continue
            position = positions[_callee(call)]
            expressions = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
            for expression in expressions or call.args[position : position + 1]:
                yield module, owner.get(id(call)), call.lineno, expression


def read() -> tuple[dict[tuple[str, str], int], list[str]]:
    """Return {(file, text of a hint): line}, and the expressions whose text this module cannot follow.

    A hint that is only passed on, such as `error.hint` or a parameter `hint`, is in neither: it is read where
    it is made.
    """
    all_modules = modules()
    packages = {module.path.split("/")[0] for module in all_modules}
    by_name = {
        package: {Path(m.path).stem: m for m in all_modules if m.path.startswith(package)}
        for package in packages
    }
    texts: dict[tuple[str, str], int] = {}
    unclear: list[str] = []
    for module, function, line, expression in _passed(all_modules):
        followed = [
            text
            for text in _Texts(module, function, by_name[module.path.split("/")[0]]).of(expression)
            if text.strip()
        ]
        texts |= {(module.path, text): line for text in followed}
        source = ast.unparse(expression)
        passed_on = source.endswith(".hint") or (function and source in _parameters(function))
        if not followed and not passed_on and source not in ("None", "''"):
            unclear.append(f"{module.path}: {source}")
    return texts, unclear


if __name__ == "__main__":
    for (path, text), line in read()[0].items():
        print(f"{path}:{line}: {text}")
