"""Write the pages of docs/reference/ from the code: `python -m docs.generate`, or `make reference`."""

from __future__ import annotations

from docs.generate.pages import PAGES, REFERENCE


def main() -> None:
    """Write each page that has changed, and name it."""
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(REFERENCE.parents[1])}")


if __name__ == "__main__":
    main()
