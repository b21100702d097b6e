"""How each stored case is computed with the library: `LOSSES[case.loss](z, case)`."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from jaxloss import curves


class Traced(NamedTuple):
    """A stored case whose arrays and numbers are arguments of a compiled function."""

    loss: str
    hyper: dict[str, Any]
    arrays: dict[str, Any]

    def __getitem__(self, name):  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.arrays[name]


# Here Python branches on the numbers: some options of the released code have no name.
BRANCHING = {
    "encourage_general",
    "focal_sigmoid",
    "ggd",
    "halted_focal",
    "sigmoid_encourage",
    "sigmoid_focal_code",
    "sigmoid_focal_star_code",
}


def log_prior(case):
    return jaxloss.class_log_prior(case["class_counts"])


def every_label(z):
    """Cross-entropy of each row for each label: `-log p`, `[n, classes]`."""
    labels = jnp.broadcast_to(jnp.arange(z.shape[-1]), z.shape)
    return jax.vmap(jaxloss.cross_entropy, (None, 1), 1)(z, labels)


def every_log_odds(z):
    labels = jnp.broadcast_to(jnp.arange(z.shape[-1]), z.shape)
    return jax.vmap(jaxloss.label_log_odds, (None, 1), 1)(z, labels)


def truncated(z, case):
    """The loss of the pruned examples, with the stored weights as the state."""
    objective = jaxloss.truncated_gce_objective(len(z), **case.hyper)
    kept = jnp.asarray(case["weight"] == 1)
    return objective.loss(kept, z, case["labels"], jnp.arange(len(z)))


def gala_code(z, case):
    """The margin on all classes is logit adjustment: phi cancels."""
    prior = jnp.log(case["theta"] + case.hyper["eps"])
    return jaxloss.logit_adjusted_cross_entropy(
        z, case["labels"], log_prior=prior, tau=case.hyper["lam1"]
    )


def gala_paper(z, case):
    hyper = case.hyper
    return jaxloss.gala(
        z,
        case["labels"],
        positive=case["theta"],
        negative=case["phi"],
        lambda1=hyper["lam1"],
        lambda2=hyper["lam2"],
        epsilon=hyper["eps"],
    )


def greedy_softmax(z, case):
    """The released code takes the bias as it is, without softmax. For hard labels only
    that of the label counts, and the others share the rest; for soft ones, targets that
    are 1 / C larger give the same with a uniform bias model."""
    targets, bias, num_classes = case["targets"], case["bias"], z.shape[-1]
    if case.hyper["bias_kind"] == "sum2":
        pseudo = jnp.clip(targets - bias, 0, 1)
        targets, bias = pseudo + 1 / num_classes, jnp.ones_like(bias)
    else:
        of_label = jnp.sum(targets * bias, axis=-1, keepdims=True)
        bias = jnp.where(targets == 1, of_label, (1 - of_label) / (num_classes - 1))
    return jaxloss.greedy_gradient(
        z, targets, bias_logits=jnp.log(bias), form="softmax"
    )


def alpha(case):
    return case.hyper["alpha"] if case.hyper["alpha"] >= 0 else None


def hot(z, case):
    return jax.nn.one_hot(case["labels"], z.shape[-1], dtype=z.dtype)


def halted_focal(z, case):
    """The variants are pairs of curves, for the positives and for the negatives."""
    hyper, targets = case.hyper, case["targets"]
    gamma = hyper["gamma"]

    def focal(u):
        return curves.focal(u, gamma=gamma)

    def right(u):
        return curves.halted_focal(u, gamma=gamma)

    def wrong(u):
        return curves.halted_focal(u, gamma=gamma, where=u < 0)

    if hyper["beta"] == 0:
        return jaxloss.halted_focal(
            z, targets, gamma=gamma, alpha=alpha(case), halting="released"
        )
    positive, negative = {
        1: (right, focal),
        2: (focal, wrong),
        3: (right, curves.cross_entropy),
        4: (curves.cross_entropy, wrong),
    }[hyper["beta"]]
    return jaxloss.multilabel(
        positive, z, targets, alpha=alpha(case), negative=negative
    )


def focal_star(z, case):
    gamma = case.hyper["gamma"]
    return jaxloss.multilabel(
        lambda u: curves.cross_entropy(gamma * u) / gamma,
        z,
        case["targets"],
        alpha=alpha(case),
    )


def asymmetric(z, case):
    hyper = case.hyper
    return jaxloss.asymmetric(
        z,
        case["targets"],
        gamma_positive=hyper["gamma_pos"],
        gamma_negative=hyper["gamma_neg"],
        clip=hyper["clip"],
    )


def sigmoid_encourage(z, case):
    hyper, targets = case.hyper, case["targets"]
    base = {
        "mle": lambda: jaxloss.sigmoid_cross_entropy(z, targets),
        "mle_alpha": lambda: jaxloss.sigmoid_focal(
            z, targets, gamma=0.0, alpha=alpha(case)
        ),
        "fl": lambda: jaxloss.sigmoid_focal(
            z, targets, gamma=hyper["gamma"], alpha=alpha(case)
        ),
    }[hyper["base_loss"]]()

    def regular(u):
        weight = jnp.exp(hyper["ita"] * jax.nn.log_sigmoid(-u))  # (1 - p)^ita
        return weight * curves.log_bonus(u, log_end=hyper["log_end"])

    positive, negative = {
        "elp": (lambda u: curves.power_bonus(u, gamma=hyper["power"]), None),
        "ell_regular": (regular, None),
        # a cross-entropy on 1 - p as the logit: one sigmoid too many
        "ell": (
            lambda u: -curves.cross_entropy(jax.nn.sigmoid(-u)),
            lambda u: -curves.cross_entropy(-jax.nn.sigmoid(u)),
        ),
    }[hyper["add_loss"]]
    bonus = jaxloss.multilabel(
        positive, z, targets, alpha=hyper["beta"], negative=negative
    )
    return base + bonus


def class_balanced(z, case):
    weights = jaxloss.class_weights(
        case["class_counts"], scheme="effective", beta=case.hyper["beta"]
    )
    losses = {
        "class_balanced_focal": lambda: jaxloss.sigmoid_focal(
            z, hot(z, case), gamma=case.hyper["gamma"]
        ),
        # The mean of a binary cross-entropy per class, of p from the softmax.
        "class_balanced_softmax": lambda: (
            jaxloss.sigmoid_cross_entropy(every_log_odds(z), hot(z, case)) / z.shape[-1]
        ),
        "class_balanced_softmax_paper": lambda: jaxloss.cross_entropy(
            z, case["labels"]
        ),
    }
    return weights[case["labels"]] * losses[case.loss]()


def sigmoid_equalization(z, case):
    weights = 1 - case["foreground"][:, None] * case["tail"][None]
    return jaxloss.sigmoid_equalization(z, hot(z, case), weights=weights)


def greedy_exact(z, case):
    targets, bias = case["targets"], case["bias"]
    if case.hyper["clamp"]:
        return jaxloss.greedy_gradient(z, targets, bias_logits=bias, form="exact")
    return jaxloss.sigmoid_cross_entropy(z, targets - jax.nn.sigmoid(bias))


def debias(z, case):
    """The notebook takes the mean over the classes."""
    hyper = case.hyper
    with jax.ensure_compile_time_eval():
        weight = jaxloss.curriculum_weight(
            hyper["epoch"], hyper["num_epochs"], offset=hyper["offset"]
        )
    np.testing.assert_allclose(weight, hyper["weight"], rtol=1e-12)
    losses = jaxloss.general_greedy_debias(
        z, case["labels"], bias_logits=case["bias_logits"], weight=hyper["weight"]
    )
    return losses / z.shape[-1]


def decompose(z, case):
    """Unlike in `general_greedy_debias` the bias term lacks the factor of the target:
    a cross-entropy with weights t - w b that sum to anything."""
    weights = case["targets"] - case.hyper["weight"] * case["bias"]
    return jnp.sum(weights * every_label(z), axis=-1)


def logit(case):
    """The released code takes the bias model's probabilities."""
    return jnp.log(case["bias"]) - jnp.log1p(-case["bias"])


def bias_product(z, case):
    return jaxloss.bias_product(
        z,
        case["targets"],
        bias_logits=logit(case),
        smoothing=case.hyper["smooth_value"],
    )


def learned_mixin(z, case, hidden=None):
    hidden = case["hidden"] if hidden is None else hidden
    gate = jax.nn.softplus(hidden @ case["lin_weight"][0] + case["lin_bias"])
    smoothing = jax.nn.sigmoid(1.0 * case.hyper["smooth_init"])
    return jaxloss.learned_mixin(
        z,
        case["targets"],
        bias_logits=logit(case),
        gate=gate,
        entropy_weight=case.hyper["w"],
        smoothing=smoothing if case.hyper["smooth"] else 0.0,
    )


def reweighted(z, case):
    """A scalar: the batch mean, weighted by 1 - b."""
    bias = logit(case)
    losses = jaxloss.bias_reweighted(z, case["targets"], bias_logits=bias)
    return jnp.sum(losses) / jnp.sum(jax.nn.sigmoid(-bias))


def focal_code(z, case):
    """Not the focal loss: log-probabilities, scaled, as the logits of sigmoids."""
    scale = (1 - jax.nn.softmax(case["bias_logits"])) ** 2
    return jaxloss.sigmoid_cross_entropy(-every_label(z) * scale, case["targets"])


def on_labels(loss, *names, **renamed):
    """The loss with hyper-parameters of the golden, `ours="theirs"` if renamed."""
    names = dict.fromkeys(names) | renamed

    def call(z, case):
        hyper = {ours: case.hyper[theirs or ours] for ours, theirs in names.items()}
        return loss(z, case["labels"], **hyper)

    return call


def with_counts(loss, *names, **renamed):
    def call(z, case):
        counted = functools.partial(loss, counts=case["class_counts"])
        return on_labels(counted, *names, **renamed)(z, case)

    return call


def active_passive(z, case):
    hyper, labels = case.hyper, case["labels"]
    reverse = functools.partial(
        jaxloss.symmetric_cross_entropy, alpha=0.0, beta=1.0, log_zero=-4.0
    )
    passive = {
        "none": lambda z, y: 0.0,
        "mae": jaxloss.mean_absolute_error,
        "rce": reverse,
    }[hyper["passive"]]
    active = hyper["alpha"] * jaxloss.normalized_cross_entropy(z, labels)
    return active + hyper["beta"] * passive(z, labels)


def equalization(z, case):
    """The mask takes tail classes out of the denominator for some examples."""
    weights = 1 - case["beta_mask"] * case["tail"][None]
    return jaxloss.equalization(z, case["labels"], weights=weights)


def label_aware(z, case):
    hyper = case.hyper
    form = "exponential" if hyper["shape"] == "exp" else hyper["shape"]
    return jaxloss.label_aware_smoothing(
        z,
        case["labels"],
        counts=case["class_counts"],
        head=hyper["smooth_head"],
        tail=hyper["smooth_tail"],
        form=form,
        power=1.0 if hyper["power"] is None else hyper["power"],
    )


def encourage_general(z, case):
    """Every option of the released code, from the pieces."""
    hyper, labels = case.hyper, case["labels"]
    base, _, sigmoid = hyper["base_loss"].partition("_")
    strength, gamma = hyper["bonus_rho"], hyper["bonus_gamma"]
    if hyper["epoch"] <= hyper["defer_start"]:
        strength = 0.0
    if base != "ce":
        losses = {"mse": jaxloss.squared_error, "mae": jaxloss.mean_absolute_error}
        on = functools.partial(dict, activation=sigmoid or "softmax")
        total = losses[base](z, labels, **on())
        if gamma > 0:
            mirror = jaxloss.mirror_bonus(z, labels, gamma=gamma, **on())
            total = total + strength * mirror
        return total / z.shape[-1]  # the code takes means over the classes

    weight, log_end = 1.0, hyper["log_end"]
    if hyper["el_schedule"]:
        weight = jaxloss.encouraging_schedule(
            hyper["epoch"],
            hyper["el_schedule_max_epoch"],
            form={"exp": "exponential", "cos": "cosine"}.get(
                hyper["el_schedule"], hyper["el_schedule"]
            ),
            rate=hyper["el_exp_schedule_ratio"],
        )
    if hyper["el_schedule_le"]:
        weight, log_end = 1.0, weight * log_end
    start, end = hyper["bonus_start"], hyper["bonus_abrupt"]
    between = {"start": start, "end": end if end > 0 else 1.0}

    def bonus(u):
        if gamma == 0:
            return jnp.zeros_like(u)
        if gamma > 0:
            return curves.power_bonus(u, gamma=gamma, **between)
        if gamma == -2:
            return curves.cosine_bonus(u, **between)
        if hyper["sub_data_rho"] < 1:  # of which there is no curve
            return jnp.log1p(-hyper["sub_data_rho"] * jax.nn.sigmoid(u))
        jump = jnp.where(jax.nn.sigmoid(u) > log_end, jnp.log1p(-start), 0)
        return curves.log_bonus(u, log_end=log_end, **between) + jump

    # The code's smoothing leaves the schedule out.
    smoothing = hyper["label_smoothing"]
    scheduled = (1 - smoothing) * weight * bonus(jaxloss.label_log_odds(z, labels))
    smooth = jaxloss.label_smoothed(bonus, z, labels, label_smoothing=1.0)
    plain = jaxloss.cross_entropy(z, labels, label_smoothing=smoothing)
    return plain + strength * (scheduled + smoothing * smooth)


LOSSES = {
    "softmax_ce": on_labels(jaxloss.cross_entropy),
    "gce": on_labels(jaxloss.generalized_cross_entropy, "q"),
    "gce_trunc_direct": on_labels(
        jaxloss.truncated_generalized_cross_entropy, "q", "k"
    ),
    "gce_truncated": truncated,
    "mae": on_labels(jaxloss.mean_absolute_error),
    "encouraging": on_labels(jaxloss.encouraging, "log_end"),
    "focal_softmax": on_labels(jaxloss.focal, "gamma"),
    "logit_adjustment_loss": lambda z, case: jaxloss.logit_adjusted_cross_entropy(
        z, case["labels"], log_prior=log_prior(case), tau=case.hyper["tau"]
    ),
    "balanced_softmax": lambda z, case: jaxloss.logit_adjusted_cross_entropy(
        z, case["labels"], log_prior=jnp.log(case["class_counts"])
    ),
    "gala_code": gala_code,
    "gala_paper": gala_paper,
    "focal_sigmoid": lambda z, case: jaxloss.sigmoid_focal(
        z, hot(z, case), gamma=case.hyper["gamma"], alpha=alpha(case)
    ),
    "halted_focal": halted_focal,
    "sigmoid_focal_code": lambda z, case: jaxloss.sigmoid_focal(
        z, case["targets"], gamma=case.hyper["gamma"], alpha=alpha(case)
    ),
    "sigmoid_focal_star_code": focal_star,
    "asymmetric_loss": asymmetric,
    "sigmoid_encourage": sigmoid_encourage,
    "class_balanced_focal": class_balanced,
    "class_balanced_softmax": class_balanced,
    "class_balanced_softmax_paper": class_balanced,
    "equalization_sigmoid": sigmoid_equalization,
    "plain_bce": lambda z, case: jaxloss.sigmoid_cross_entropy(z, case["targets"]),
    "gge_softmax": greedy_softmax,
    "gge_exact_bce": greedy_exact,
    "gge_greedy_bce": lambda z, case: jaxloss.greedy_gradient(
        z, case["targets"], bias_logits=case["bias"], form="relaxed"
    ),
    "ggd": debias,
    "ggd_decompose_code": decompose,
    "poly1": on_labels(jaxloss.poly1, epsilon="eps"),
    "taylor_ce": on_labels(jaxloss.taylor_cross_entropy, "order"),
    "symmetric_ce": on_labels(
        jaxloss.symmetric_cross_entropy, "alpha", "beta", log_zero="A"
    ),
    "label_smoothing": on_labels(jaxloss.cross_entropy, label_smoothing="eps"),
    "encouraging_label_smooth": on_labels(
        jaxloss.encouraging, "log_end", label_smoothing="smoothing"
    ),
    "encourage_general": encourage_general,
    "normalized_ce": active_passive,
    "bi_tempered": on_labels(
        jaxloss.bi_tempered_logistic, "t1", "t2", label_smoothing="eps"
    ),
    "forward_correction": lambda z, case: jaxloss.forward_corrected_cross_entropy(
        z, case["labels"], transition=case["T"]
    ),
    "backward_correction": lambda z, case: jaxloss.backward_corrected_cross_entropy(
        z, case["labels"], transition=case["T"]
    ),
    "label_aware_smoothing": label_aware,
    "vs_loss": with_counts(jaxloss.vector_scaling, "tau", "gamma"),
    "ldam": with_counts(jaxloss.ldam, max_margin="max_m", scale="s"),
    "equalization_softmax": equalization,
    "eqv1_softmax_code": equalization,
    "seesaw": with_counts(jaxloss.seesaw, "p", "q", epsilon="eps"),
    "arcface": on_labels(jaxloss.arcface, margin="m", scale="s"),
    "cosface": on_labels(jaxloss.cosface, margin="m", scale="s"),
    "logit_norm": on_labels(jaxloss.logit_norm, temperature="temp", epsilon="eps"),
    "bias_product": bias_product,
    "learned_mixin": learned_mixin,
    "reweight_inv_bias": reweighted,
    "vqa_focal_code": focal_code,
}
