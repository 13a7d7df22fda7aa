"""Mutants of a module: its text with one small fault, of those that tests ought to notice. Pure."""

import ast
from collections.abc import Iterator

from attrs import frozen

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}


@frozen
class Mutant:
    """One fault. `line` is where, `was` and `now` are the expressions, `text` is the whole module with it."""

    line: int
    was: str
    now: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(self.was.split())}  ->  {' '.join(self.now.split())}"


def mutants(text: str) -> Iterator[Mutant]:
    """All of a module, in the order of its lines. What only types, logs and representations say is left alone."""
    tree = ast.parse(text)
    left_alone = {id(part) for node in _left_alone(tree) for part in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.expr | ast.stmt) and id(node) not in left_alone]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        was = ast.get_source_segment(text, node)
        if was is not None:
            for now in _faults(node):
                yield Mutant(node.lineno, was, now, _replaced(text, node, now))


def _left_alone(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.expr() as annotation):
                yield annotation
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from (*node.decorator_list, *([] if node.returns is None else [node.returns]))
            case ast.ClassDef():
                yield from (*node.decorator_list, *node.bases)
            case ast.Assert() | ast.JoinedStr() | ast.keyword(arg="init"):  # which arguments a constructor has
                yield node
            case ast.Expr(value=ast.Call(func=function)) if ast.unparse(function).startswith("log."):
                yield node
            case ast.Assign(value=ast.BinOp(op=ast.BitOr())):  # a name for a union of types
                yield node


def _faults(node: ast.expr | ast.stmt) -> Iterator[str]:
    """What may stand in place of a node."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in COMPARISONS:
            yield f"{ast.unparse(left)} {COMPARISONS[type(operator)]} {ast.unparse(right)}"
        case ast.BoolOp(op=operator, values=values):
            other = " or " if isinstance(operator, ast.And) else " and "
            yield f"({other.join(f'({ast.unparse(value)})' for value in values)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC:
            yield f"(({ast.unparse(left)}) {ARITHMETIC[type(operator)]} ({ast.unparse(right)}))"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield str(value + 1)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            yield f"({ast.unparse(otherwise)} if {ast.unparse(test)} else {ast.unparse(body)})"
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield "return None"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete():
            yield "pass"
        case ast.Continue():
            yield "break"
        case ast.Break():
            yield "continue"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _replaced(text: str, node: ast.expr | ast.stmt, now: str) -> str:
    lines = text.splitlines(keepends=True)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
    return "".join([*lines[: node.lineno - 1], before + now + after, *lines[node.end_lineno :]])
