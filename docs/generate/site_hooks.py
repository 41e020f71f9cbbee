"""Hooks of MkDocs: pages that lie outside of docs/, links between both, the navigation, and no foreign hosts."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generate.links import Link, relinked, resolved, slug

OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security-policy.md",
}
"""Pages of the repository that lie outside of docs/, and their places on the site."""
INSIDE = {place: path for path, place in OUTSIDE.items()}
GALLERY = "docs/gallery"
LOADED = re.compile(
    r"<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preconnect|preload|icon|dns-prefetch))[^>]*\bhref=[\"']?(?:https?:)?//"
    r"|@import\s+[\"'(]?(?:url\()?[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//",
    re.IGNORECASE,
)
"""What a browser loads by itself from another host, in HTML and in CSS."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take pages that do not exist out of the navigation, list the others last, and make anchors as forges do."""
    docs = Path(config.docs_dir)
    found = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} | set(INSIDE)
    found |= {place for place, _ in _scripts(docs)}
    _add_scripts(config.nav, [place for place, _ in _scripts(docs)])
    nav = _present(config.nav, found)
    more = sorted(found - set(_pages(nav)))
    config.nav = [*nav, {"More": more}] if more else nav
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": slug}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of docs/, and one for each script of the gallery."""
    root = Path(config.docs_dir).parent
    for path, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(root / path).read_text("utf-8")))
    for place, script in _scripts(Path(config.docs_dir)):
        files.append(File.generated(config, place, content=_script_page(script, files)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead every link to the page of the site, or take it away where its file is none."""
    source = INSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder, place = posixpath.dirname(source), posixpath.dirname(page.file.src_uri)
    present = {file.src_uri for file in files}

    def change(link: Link) -> str | None:
        anchor = f"#{link.anchor}" if link.anchor else ""
        if not link.path or link.is_foreign:
            return link.path + anchor
        target = resolved(folder, link.path)
        if page.file.src_uri.startswith("reference/") and target.endswith(".py"):
            module = target.removeprefix("client/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"#{module}.{link.text.strip('`')}"
        inside = OUTSIDE.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if target.startswith(GALLERY) and target.endswith(".py"):
            inside = target.removeprefix("docs/").removesuffix(".py") + ".md"
        elif inside is not None and inside not in present and (Path(config.docs_dir).parent / target).exists():
            inside = None  # a script, say: the site does not have it, the repository has
        return None if inside is None else posixpath.relpath(inside, place or ".") + anchor

    return relinked(markdown, change)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that makes a browser ask another host for anything."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css"):
            found = LOADED.search(path.read_text("utf-8"))
            if found:
                raise PluginError(f"{path.name} loads from another host: {found[0][:200]}")


def _add_scripts(nav: Any, scripts: list[str]) -> None:
    """List the scripts of the gallery below its first page."""
    below = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    if isinstance(nav, list) and "gallery/README.md" in nav:
        nav += scripts
    for each in list(below):
        _add_scripts(each, scripts)


def _present(nav: Any, found: set[str]) -> list[Any]:
    """A navigation without pages that do not exist, and without sections that are then empty."""
    kept: list[Any] = []
    for entry in nav:
        if isinstance(entry, str):
            kept += [entry] if entry in found else []
            continue
        ((title, below),) = entry.items()
        below = ([below] if below in found else []) if isinstance(below, str) else _present(below, found)
        if below:
            kept.append({title: below[0] if isinstance(entry[title], str) else below})
    return kept


def _pages(nav: Any) -> list[str]:
    """Every page that a navigation lists."""
    if isinstance(nav, str):
        return [nav]
    below = nav.values() if isinstance(nav, dict) else nav
    return [page for each in below for page in _pages(each)]


def _scripts(docs: Path) -> list[tuple[str, Path]]:
    """The place on the site of each script of the gallery, and its file."""
    return [(f"gallery/{path.stem}.md", path) for path in sorted((docs / "gallery").glob("[!_]*.py"))]


def _script_page(script: Path, files: Files) -> str:
    """A page of a script: what its docstring says, its picture if there is one, and the whole of it."""
    text = script.read_text("utf-8")
    _, words, code = text.split('"""', 2)
    title, _, rest = words.partition("\n")
    picture = f"gallery/{script.stem}.png"
    shown = f"![What the script draws]({script.stem}.png)\n\n" if files.get_file_from_path(picture) else ""
    return f"# {title.strip().rstrip('.')}\n\n{rest.strip()}\n\n{shown}```python\n{code.strip()}\n```\n"
