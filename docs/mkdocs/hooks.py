"""Pages that follow the code: the reference, the README on the first page, formulas."""

import html
import pathlib
import re
import sys

import math_core
from mkdocs.structure.files import File

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from public import ROOT, groups, names  # noqa: E402

_MATHS = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL
)
_CONVERTER = math_core.LatexToMathML(fancy_error=False)


def on_config(config):
    pages = [{group.short: group.page} for group in groups()]
    config.nav = [
        {"Home": "index.md"},
        {"Your loop": "your_loop.md"},
        {"Gallery": "gallery/README.md"},
        {"Reference": pages},
    ]
    return config


def on_files(files, *, config):
    for group in groups():
        text = [f"# {group.title}"]
        for module, members in group.modules.items():
            if module != "jaxloss":
                text.append(f"::: {module}\n    options:\n" + _INTRODUCTION)
            text += [f"::: jaxloss.{name}" for name in members]
        files.append(File.generated(config, group.page, content="\n\n".join(text)))
    return files


_INTRODUCTION = """\
      members: []
      show_root_heading: false
      show_root_toc_entry: false
      show_source: false
"""


def on_page_markdown(markdown, *, page, config, files):
    """Puts sections of the README where `<!-- README: heading -->` asks for them."""
    return re.sub(r"<!-- README: ?(.*?) -->", lambda m: _readme(m[1]), markdown)


def _readme(heading: str) -> str:
    readme = (ROOT / "README.md").read_text()
    # Not within a code block, where a comment may start with #.
    head, *parts = re.split(r"^## (?=[A-Z])", readme, flags=re.MULTILINE)
    sections = dict(part.split("\n", 1) for part in parts)
    sections[""] = re.sub(r"^# .*\n", "", head)
    if heading not in sections:
        raise LookupError(f"README.md has no section {heading!r}: {[*sections]}")
    return re.sub(r"(!?)\[([^]]*)\]\(([^)]+)\)", _link, sections[heading])


def _link(match: re.Match[str]) -> str:
    """The README points at files; a page of the site points at the reference."""
    image, text, target = match.groups()
    name = text.strip("`")
    if image or "://" in target:
        return match[0].replace("(docs/", "(")
    if name in names():
        return f"[{text}][jaxloss.{name}]"
    if target.startswith("docs/gallery"):
        return f"[{text}](gallery/README.md)"
    return text


def on_page_content(content, *, page, config, files):
    """Formulas become MathML, which browsers show without JavaScript."""
    return _MATHS.sub(_formula, content)


def _formula(match: re.Match[str]) -> str:
    return _CONVERTER.convert_with_local_state(
        html.unescape(match[2]), displaystyle=match[1] == "div"
    )
