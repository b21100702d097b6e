"""The public names of the library, in the groups of `jaxloss/__init__.py`."""

import ast
import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]


class Group(NamedTuple):
    title: str  # the comment above its imports
    modules: dict[str, list[str]]  # names by the module they come from

    @property
    def short(self) -> str:
        return self.title.partition(":")[0]

    @property
    def page(self) -> str:
        return f"reference/{re.sub('[^a-z]+', '-', self.short.lower())}.md"


def groups() -> list[Group]:
    source = (ROOT / "jaxloss" / "__init__.py").read_text()
    found = []
    for block in re.split(r"^# ", source, flags=re.MULTILINE)[1:]:
        title, _, imports = block.partition("\n")
        group = Group(title, {})
        for node in ast.parse(imports).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [alias.asname or alias.name for alias in node.names]
                group.modules.setdefault(node.module, []).extend(names)
        found.append(group)
    return found


def names() -> set[str]:
    return {name for g in groups() for some in g.modules.values() for name in some}
