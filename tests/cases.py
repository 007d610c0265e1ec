"""Example inputs of every differentiable op: name -> [(arrays, settings), ...], away from kinks and poles."""

import numpy as onp

_draw = onp.random.RandomState(7)


def any_number(*shape):
    """Numbers of both signs, none near 0."""
    return _draw.uniform(0.3, 1.7, shape) * _draw.choice([-1.0, 1.0], shape)


def positive(*shape):
    """Numbers between 0.4 and 2."""
    return _draw.uniform(0.4, 2.0, shape)


def inside(*shape):
    """Numbers in (-0.9, 0.9), none near 0."""
    return _draw.uniform(0.2, 0.9, shape) * _draw.choice([-1.0, 1.0], shape)


def distinct(*shape):
    """Numbers that differ by 0.1 at least, in random order."""
    n = int(onp.prod(shape))
    return (_draw.permutation(n) * 0.1 - n * 0.05 + 0.03).reshape(shape)


def well_conditioned(n):
    """A matrix far from singular."""
    return onp.eye(n) * 3 + _draw.uniform(-1, 1, (n, n))


def symmetric(n):
    """A symmetric matrix with eigenvalues near 2, 4, 6, ..."""
    noise = _draw.uniform(-0.5, 0.5, (n, n))
    return onp.diag(onp.arange(1, n + 1) * 2.0) + (noise + noise.T) / 2


def _pairs(make):
    return [
        ((make(3, 2), make(3, 2)), {}),
        ((make(3, 2), make(2)), {}),
        ((make(1, 2), make(3, 1)), {}),
        ((make(), make(2, 2)), {}),
        ((make(0, 3), make(3)), {}),
    ]


def _alone(make):
    return [((make(3, 2),), {}), ((make(),), {}), ((make(0, 2),), {})]


CASES = {name: _alone(any_number) for name in (
    "negative absolute square reciprocal cbrt exp expm1 sin cos tan arctan sinh cosh tanh arcsinh degrees radians "
    "sign floor ceil trunc rint fix relu sigmoid softrelu softsign erf copied"
).split()}  # fmt: skip
CASES |= {name: _alone(positive) for name in "sqrt log log2 log10 log1p gamma gammaln".split()}
CASES |= {name: _alone(inside) for name in "arcsin arccos arctanh erfinv".split()}
CASES |= {name: _pairs(any_number) for name in "add subtract multiply divide arctan2 copysign hypot ldexp".split()}
CASES |= {name: _pairs(positive) for name in ["power"]}
CASES |= {name: [((distinct(3, 2), distinct(3, 2) + 0.02), {}), ((distinct(3, 2), distinct(2) + 0.02), {})]
          for name in ("maximum", "minimum")}  # fmt: skip

_axes = [{}, {"axis": 0}, {"axis": (0, 2)}, {"axis": -1, "keepdims": True}, {"axis": ()}]
_rows, _deep = onp.array([0, 2, 2]), any_number(2, 3, 2)

CASES |= {
    "arccosh": [((positive(3, 2) + 1,), {})],
    "mod": [((positive(3, 2) * 3, onp.full((3, 2), 1.3)), {}), ((any_number(3, 2) * 2 + 0.05, onp.full(2, 0.7)), {})],
    "where": [((distinct(3, 2) > 0, any_number(3, 2), any_number(2)), {}), ((distinct(3, 1) > 0, any_number(), any_number(2)), {})],
    "clip": [((distinct(4, 3),), {"a_min": -0.3, "a_max": 0.2}), ((distinct(4),), {"a_min": None, "a_max": 0.0})],
    "polygamma": [((positive(3),), {"n": 0}), ((positive(3),), {"n": 1})],
    "round": [((any_number(3) + 0.01,), {"decimals": 1})],
    "finite_of": [((any_number(3),), {})],
    "smooth_l1": [((any_number(3, 2),), {"scalar": 1.0}), ((any_number(3, 2),), {"scalar": 1.2})],
    "cast": [((any_number(3),), {"dtype": "float64"})],
    "sum": [((_deep,), s) for s in _axes] + [((any_number(0, 3),), {"axis": 0})],
    "mean": [((_deep,), s) for s in _axes[:4]],
    "max": [((distinct(2, 3, 2),), s) for s in _axes[:4]],
    "min": [((distinct(2, 3, 2),), s) for s in _axes[:4]],
    "prod": [((_deep,), s) for s in _axes[:4]] + [((onp.array([1.5, 0.0, 2.0]),), {}), ((onp.array([[0.0, 0.0, 2.0], [0.5, 0.0, -1.0]]),), {"axis": 1}), ((any_number(0, 3),), {})],
    "cumsum": [((_deep,), {"axis": 1}), ((_deep,), {})],
    "sort": [((distinct(3, 4),), {"axis": 0}), ((distinct(3, 4),), {})],
    "length": [((_deep,), s) for s in _axes[:4]],
    "broadcast_to": [((any_number(3, 1),), {"shape": (2, 3, 4)}), ((any_number(),), {"shape": (2,)})],
    "reshape": [((_deep,), {"newshape": (4, -1)})],
    "squeeze": [((any_number(1, 3, 1),), {}), ((any_number(1, 3, 1),), {"axis": 0})],
    "expand_dims": [((any_number(3, 2),), {"axis": 1})],
    "transpose": [((_deep,), {}), ((_deep,), {"axes": (1, 2, 0)})],
    "flip": [((_deep,), {"axis": 1}), ((_deep,), {})],
    "roll": [((_deep,), {"shift": 2, "axis": 1}), ((_deep,), {"shift": -1})],
    "get": [((_deep,), {"key": (1, slice(None), 0)}), ((_deep,), {"key": (slice(None), _rows)}),
            ((_deep,), {"key": (..., None, slice(None, None, -1))}), ((_deep,), {"key": (_deep > 0,)})],
    "scatter": [((any_number(3),), {"key": (_rows,), "shape": (4,)}), ((any_number(2),), {"key": (slice(0, 4, 2),), "shape": (5,)})],
    "take": [((_deep, _rows), {"axis": 1}), ((_deep, onp.array([1, 9, 30])), {"mode": "clip"}), ((_deep, onp.array([1, -2, 9])), {}), ((_deep, _rows + 1), {"axis": 0, "mode": "wrap"})],
    "repeat": [((_deep,), {"repeats": 2, "axis": 1}), ((_deep,), {"repeats": 3})],
    "tril": [((any_number(3, 4),), {"k": 1})],
    "triu": [((any_number(3, 4),), {"k": -1})],
    "join": [((any_number(2, 3), any_number(1, 3)), {"axis": 0}), ((any_number(2, 3), any_number(2, 1)), {"axis": -1})],
    "pad": [((any_number(2, 3),), {"pad_width": ((1, 0), (0, 2))})]
           + [((any_number(3, 4),), {"pad_width": ((1, 2), (2, 0)), "mode": mode}) for mode in ("edge", "reflect", "symmetric", "wrap")],
    "matmul": [((any_number(2, 3), any_number(3, 4)), {}), ((any_number(5, 2, 3), any_number(3, 4)), {}),
               ((any_number(3), any_number(3, 4)), {}), ((any_number(2, 3), any_number(3)), {}),
               ((any_number(3), any_number(3)), {}), ((any_number(2, 1, 2, 3), any_number(4, 3, 2)), {}),
               ((any_number(3), any_number(2, 3, 4)), {})],
    "einsum_of": [((any_number(2, 3), any_number(3, 4)), {"subscripts": "ij,jk->ik"}), ((any_number(2, 3),), {"subscripts": "ij->j"}),
                  ((any_number(2, 3), any_number(2, 3)), {"subscripts": "ij,ij"}),
                  ((any_number(2, 3, 2), any_number(2, 4)), {"subscripts": "...i,ij->...j"})],
    "inv": [((well_conditioned(3),), {})],
    "det": [((well_conditioned(3),), {})],
    "cholesky": [((symmetric(3),), {}), ((onp.stack([symmetric(2), symmetric(2)]),), {})],
    "slogdet": [((well_conditioned(3),), {}), ((-well_conditioned(3),), {})],
    "eigh": [((symmetric(3),), {}), ((symmetric(3),), {"UPLO": "U"}), ((onp.stack([symmetric(2), symmetric(2)]),), {})],
    "svd": [((any_number(3, 3),), {}), ((any_number(2, 4),), {}), ((any_number(4, 2),), {}), ((any_number(2, 2, 3),), {})],
    "pinv": [((any_number(3, 2),), {}), ((any_number(2, 3),), {}), ((well_conditioned(3),), {})],
    "solve": [((well_conditioned(3), any_number(3, 2)), {})],
    "softmax_of": [((any_number(3, 4),), {"axis": -1}), ((any_number(3, 4),), {"axis": 0, "temperature": 2.0})],
    "log_softmax_of": [((any_number(3, 4),), {"axis": -1}), ((any_number(3, 4),), {"axis": 0, "temperature": 2.0})],
    "dropped": [((any_number(3, 4),), {"p": 0.5}), ((any_number(3, 4),), {"p": 0.5, "axes": (1,)})],
    "dense": [((any_number(2, 3), any_number(4, 3), any_number(4)), {"act": act}) for act in (None, "relu", "sigmoid", "tanh", "softrelu", "softsign")]
             + [((any_number(2, 3, 2), any_number(4, 6)), {}), ((any_number(2, 3, 2), any_number(4, 2), any_number(4)), {"flatten": False})],
    "rows_of": [((onp.array([1.0, 0.0, 1.0]), any_number(3, 2)), {})],
    "picked": [((any_number(3, 4), onp.array([0.0, 3.0, 1.0])), {}), ((any_number(3, 4), onp.array([0.0, 2.0, 1.0, 1.0])), {"axis": 0})],
    "standardize": [((any_number(4, 3),), {"axes": (0,), "eps": 1e-5}), ((any_number(4, 3, 2),), {"axes": (0, 2), "eps": 0.1})],
    "cross_entropy_of": [((any_number(3, 4), onp.array([0.0, 3.0, 1.0])), {})],
}  # fmt: skip

# Arguments that are choices, not numbers one could move a little: by position.
CHOICES = {"where": {0}, "take": {1}, "rows_of": {0}, "picked": {1}, "cross_entropy_of": {1}}

# Ops whose result is differentiable in mathematics, but has no rule here: backward() names them.
WITHOUT_RULE = {"eig"}
