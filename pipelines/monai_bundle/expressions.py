"""Expressions of a MONAI configuration (``$...``), read without running anything.

An expression is parsed by `ast`, and only the kinds of node that are listed here are understood: arithmetic and
comparisons of literals, lists, a few functions without side effects, names that stand for a constant or an object of
the allow-list, and functions of one tensor. There is no `eval`, no attribute of an object and no import.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.monai_bundle.parts import Build, Call, Device, Function, Named
from pipelines.monai_bundle.targets import LEFT_OUT, known_name

REFERENCE = re.compile(r"@(\w+(?:(?:::|#)\w+)*)")
LONGEST_EXPRESSION = 2000  # characters
DEEPEST = 40  # nodes within nodes
LARGEST_NUMBER = 2**62
LONGEST_VALUE = 10_000  # elements of a list and of the lists in it, characters of a text
_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    one.__name__: one for one in (abs, bool, float, int, len, list, max, min, round, set, sorted, str, sum, tuple)
}
_DEVICES = {"torch.device", "torch.cuda.is_available"}
CONSTANTS = frozenset(
    {f"torch.{name}" for name in ("float", "float16", "float32", "float64", "half", "bfloat16", "bool", "int", "long")}
    | {f"torch.{name}" for name in ("uint8", "int8", "int16", "int32", "int64")}
    | {f"numpy.{name}" for name in ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")}
)
_KEYS = {f"monai.utils.CommonKeys.{name}": name.lower() for name in ("IMAGE", "LABEL", "PRED")}
_ALIASES = {"np": "numpy", "th": "torch"}
# of torch, what a function of one tensor may call
TENSOR_FUNCTIONS = frozenset(
    {"where", "nan_to_num", "argmax", "argmin", "softmax", "sigmoid", "clamp", "clip", "round", "abs", "exp", "log"}
    | {"flip", "max", "min", "sum", "mean", "any", "all", "cat", "stack", "zeros_like", "ones_like", "logical_and"}
    | {"logical_or", "logical_not", "squeeze", "unsqueeze", "transpose", "permute", "isnan", "sqrt", "maximum"}
    | {"minimum"}
)
METHODS = frozenset({"set_target_keys", "set_box_selector_parameters", "set_sliding_window_inferer"})  # of a detector


class NotUnderstood(ValueError):
    """An expression holds something that is not understood; the message says what."""


def references(text: str) -> list[str]:
    """The names that an expression refers to, as in ``@network_def::channels``."""
    return [name.replace("#", "::") for name in REFERENCE.findall(text)]


def value_of(text: str, referred: Callable[[str], Any], where: str) -> Any:
    """What an expression stands for.

    Parameters
    ----------
    text
        Without the ``$`` in front.
    referred
        The value of what is referred to.
    where
        The place of the expression in the configuration.

    Raises
    ------
    NotUnderstood
        If it holds anything that is not listed in this module.
    """
    return _Reading(referred, where).of(_parsed(REFERENCE.sub(lambda found: _placeholder(found[1]), text)))


def _placeholder(name: str) -> str:
    return "__at__" + name.replace("::", "__in__").replace("#", "__in__")


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST_EXPRESSION:
        raise NotUnderstood(f"is longer than {LONGEST_EXPRESSION} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotUnderstood("is no expression, but a statement or not Python") from error


class _Reading:
    """Walks one expression."""

    def __init__(self, referred: Callable[[str], Any], where: str) -> None:
        self._referred, self._where, self._depth = referred, where, 0

    def of(self, node: ast.expr) -> Any:
        """The value of a node."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotUnderstood("is nested too deep")
        try:
            reader = getattr(self, f"_{type(node).__name__.lower()}", None)
            if reader is None:
                raise NotUnderstood(f"{_shown(node)} is not understood")
            return _within_limits(reader(node))
        except NotUnderstood:
            raise
        except (ArithmeticError, TypeError, LookupError, ValueError) as error:
            raise NotUnderstood(f"{_shown(node)} has no value ({error})") from error
        finally:
            self._depth -= 1

    def _constant(self, node: ast.Constant) -> Any:
        if node.value is not None and not isinstance(node.value, bool | int | float | str):
            raise NotUnderstood(f"{node.value!r} is no number, text or truth value")
        return node.value

    def _name(self, node: ast.Name) -> Any:
        if node.id.startswith("__at__"):
            return self._referred(node.id.removeprefix("__at__").replace("__in__", "::"))
        raise NotUnderstood(f"the name {node.id} stands for nothing that can be read")

    def _list(self, node: ast.List) -> list[Any]:
        return [self.of(one) for one in node.elts]

    def _tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self.of(one) for one in node.elts)

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        if None in node.keys:
            raise NotUnderstood("a mapping with ** is not understood")
        return {
            self.of(key): self.of(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None
        }

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        return _operator(node.op)(_literal(self.of(node.operand)))

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = _literal(self.of(node.left)), _literal(self.of(node.right))
        if isinstance(node.op, ast.Mult):
            _refuse_repetition(left, right)
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            raise NotUnderstood("a text with % is not understood")
        return _operator(node.op)(left, right)

    def _boolop(self, node: ast.BoolOp) -> Any:
        found: Any = None
        for one in node.values:
            found = _literal(self.of(one))
            if bool(found) is isinstance(node.op, ast.Or):
                break
        return found

    def _compare(self, node: ast.Compare) -> bool:
        left = _literal(self.of(node.left))
        for kind, other in zip(node.ops, node.comparators, strict=True):
            right = _literal(self.of(other))
            if not _operator(kind)(left, right):
                return False
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.of(node.body if _literal(self.of(node.test)) else node.orelse)

    def _subscript(self, node: ast.Subscript) -> Any:
        of = _literal(self.of(node.value))
        if isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            return of[slice(*(None if end is None else self.of(end) for end in ends))]
        return of[self.of(node.slice)]

    def _attribute(self, node: ast.Attribute) -> Any:
        name = _dotted(node)
        if name in CONSTANTS:
            return Named(name)
        if name in _KEYS:
            return _KEYS[name]
        raise NotUnderstood(f"{_shown(node)} is no constant that can be read")

    def _lambda(self, node: ast.Lambda) -> Function:
        arguments = node.args
        others = (arguments.posonlyargs, arguments.kwonlyargs, arguments.defaults, arguments.vararg, arguments.kwarg)
        if len(arguments.args) != 1 or any(others):
            raise NotUnderstood("a function should have one argument")
        parameter = arguments.args[0].arg
        _refuse_unsafe(node.body, parameter)
        return Function(ast.unparse(node), parameter, node.body)

    def _call(self, node: ast.Call) -> Any:
        if any(one.arg is None for one in node.keywords) or any(isinstance(one, ast.Starred) for one in node.args):
            raise NotUnderstood("a call with * or ** is not understood")
        function = node.func
        name = _dotted(function)
        if name in _DEVICES:  # whichever it would choose: the pipeline has its own
            return Device()
        if isinstance(function, ast.Name) and function.id in ("range", *_FUNCTIONS):
            given = [_literal(self.of(one)) for one in node.args]
            if function.id == "range":
                return _range(given)
            return _FUNCTIONS[function.id](*given, **{one.arg: self.of(one.value) for one in node.keywords if one.arg})
        if name in ("os.path.join", "copy.deepcopy"):
            return _joined([self.of(one) for one in node.args]) if name == "os.path.join" else self.of(node.args[0])
        if name is not None and name.startswith("monai."):
            short = known_name(name)
            if short is None or short in LEFT_OUT:
                raise NotUnderstood(f"{name} is not on the list of what may be built")
            keywords = {str(one.arg): self.of(one.value) for one in node.keywords}
            return Build(name, self._where, keywords, tuple(self.of(one) for one in node.args))
        if isinstance(function, ast.Attribute):
            return self._method(function, node)
        raise NotUnderstood(f"the call of {_shown(function)} is not understood")

    def _method(self, function: ast.Attribute, node: ast.Call) -> Any:
        of = self.of(function.value)
        if isinstance(of, Build) and function.attr in ("to", "eval", "cpu"):  # the pipeline does so itself
            return of
        if isinstance(of, Build) and function.attr in METHODS and not node.args:
            return Call(of, function.attr, {str(one.arg): self.of(one.value) for one in node.keywords})
        raise NotUnderstood(f"the call of {_shown(function)} is not understood")


def _shown(node: ast.AST) -> str:
    """A part of an expression as it stands in the file, for a message."""
    return ast.unparse(node).replace("__at__", "@").replace("__in__", "::")[:60]


def _operator(kind: ast.AST) -> Callable[..., Any]:
    if type(kind) not in _OPERATORS:
        raise NotUnderstood(f"the operator {type(kind).__name__} is not understood")
    return _OPERATORS[type(kind)]


def _literal(value: Any) -> Any:
    """A value to compute with: what is to be built has none yet."""
    if isinstance(value, Build | Call | Function | Device | Named):
        raise NotUnderstood("computes with an object instead of numbers or texts")
    return value


def _range(given: list[Any]) -> list[int]:
    numbers = range(*given)
    if len(numbers) > LONGEST_VALUE:
        raise NotUnderstood(f"is longer than {LONGEST_VALUE} elements")
    return list(numbers)


def _joined(parts: list[Any]) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise NotUnderstood("joins something other than texts")
    return "/".join(part.rstrip("/") for part in parts[:-1]) + f"/{parts[-1]}" if len(parts) > 1 else "".join(parts)


def _refuse_repetition(left: Any, right: Any) -> None:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, list | tuple | str) and isinstance(times, int) and len(many) * times > LONGEST_VALUE:
            raise NotUnderstood(f"is longer than {LONGEST_VALUE} elements")


def _within_limits(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise NotUnderstood("is too large a number")
    if _is_longer(value, LONGEST_VALUE):
        raise NotUnderstood(f"is longer than {LONGEST_VALUE} elements")
    return value


def _is_longer(value: Any, most: int) -> bool:
    """Whether a value has more elements than that, also where one list stands in it many times."""
    count, left = 0, [value]
    while left and count <= most:
        one = left.pop()
        if isinstance(one, str | list | tuple | dict | set):
            count += len(one)
        if isinstance(one, list | tuple | set):
            left += one
        elif isinstance(one, dict):
            left += [*one, *one.values()]
    return count > most


def _dotted(node: ast.expr) -> str | None:
    """``a.b.c`` as text, with the usual names of libraries; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id.startswith("__at__"):
        return None
    return ".".join([_ALIASES.get(node.id, node.id), *reversed(parts)])


# ---- functions of one tensor
def _refuse_unsafe(node: ast.expr, parameter: str, depth: int = 0) -> None:
    """Refuse a body that is not made of the parameter, numbers, arithmetic and functions of tensors alone."""
    if depth > DEEPEST:
        raise NotUnderstood("is nested too deep")
    match node:
        case ast.Constant(value=bool() | int() | float() | None):
            return
        case ast.Name(id=name) if name == parameter:
            return
        case ast.Call(func=function, keywords=keywords):
            called = _dotted(function) or ""
            if not called.startswith("torch.") or called.removeprefix("torch.") not in TENSOR_FUNCTIONS:
                raise NotUnderstood(f"the call of {_shown(function)} in a function is not understood")
            if any(one.arg is None for one in keywords) or any(isinstance(one, ast.Starred) for one in node.args):
                raise NotUnderstood("a call with * or ** is not understood")
            inner = [*node.args, *(one.value for one in keywords)]
        case ast.BinOp(op=kind) | ast.UnaryOp(op=kind):
            if not isinstance(kind, ast.BitAnd | ast.BitOr | ast.Invert):
                _operator(kind)
            inner = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
        case ast.Compare(ops=[kind], comparators=[other]) if not isinstance(kind, ast.In | ast.NotIn):
            inner = [node.left, other]
        case ast.Subscript(value=of, slice=index):
            inner = [of, *_of_index(index)]
        case ast.List(elts=inner) | ast.Tuple(elts=inner):
            pass
        case _:
            raise NotUnderstood(f"{_shown(node)} in a function is not understood")
    for one in inner:
        _refuse_unsafe(one, parameter, depth + 1)


def _of_index(index: ast.expr) -> list[ast.expr]:
    if isinstance(index, ast.Tuple):
        return [one for part in index.elts for one in _of_index(part)]
    if isinstance(index, ast.Slice):
        return [end for end in (index.lower, index.upper, index.step) if end is not None]
    return [index]


def computed(function: Function, tensor: Any) -> Any:
    """The value of a function, of which `value_of` has read the body, at a tensor."""
    import torch

    def of(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name():
                return tensor
            case ast.Call(func=ast.Attribute(attr=name)):
                return getattr(torch, name)(
                    *map(of, node.args), **{str(one.arg): of(one.value) for one in node.keywords}
                )
            case ast.BinOp(op=ast.BitAnd()):
                return of(node.left) & of(node.right)
            case ast.BinOp(op=ast.BitOr()):
                return of(node.left) | of(node.right)
            case ast.BinOp():
                return _operator(node.op)(of(node.left), of(node.right))
            case ast.UnaryOp(op=ast.Invert()):
                return ~of(node.operand)
            case ast.UnaryOp():
                return _operator(node.op)(of(node.operand))
            case ast.Compare():
                return _operator(node.ops[0])(of(node.left), of(node.comparators[0]))
            case ast.Subscript():
                return of(node.value)[index(node.slice)]
            case ast.List():
                return [of(one) for one in node.elts]
            case ast.Tuple():
                return tuple(of(one) for one in node.elts)
        raise NotUnderstood(f"{_shown(node)} in a function is not understood")

    def index(node: ast.expr) -> Any:
        if isinstance(node, ast.Tuple):
            return tuple(index(one) for one in node.elts)
        if isinstance(node, ast.Slice):
            return slice(*(None if end is None else of(end) for end in (node.lower, node.upper, node.step)))
        return of(node)

    return of(function.body)
