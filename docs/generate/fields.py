"""Fields of pydantic models and the docstrings that stand below them in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap


def docstrings(model: type) -> dict[str, str]:
    """The docstring that follows each field of a class, by the field's name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(ast.literal_eval(after.value))
        for field, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr)
    }
