"""JAX losses for labels that misbehave: long tails, wrong labels, shortcuts."""

# The primitive, and the curves of it
from jaxloss import curves as curves
from jaxloss._log_odds import label_log_odds as label_log_odds

# Curves on the softmax
from jaxloss._softmax import (
    cross_entropy as cross_entropy,
    focal as focal,
    generalized_cross_entropy as generalized_cross_entropy,
    truncated_generalized_cross_entropy as truncated_generalized_cross_entropy,
    mean_absolute_error as mean_absolute_error,
    encouraging as encouraging,
)

# Curves on the sigmoid
from jaxloss._sigmoid import sigmoid_cross_entropy as sigmoid_cross_entropy

# Shifts: class frequencies, and gradients accumulated in training
from jaxloss._long_tail import (
    class_log_prior as class_log_prior,
    adjust_logits as adjust_logits,
    posthoc_adjust_logits as posthoc_adjust_logits,
    logit_adjusted_cross_entropy as logit_adjusted_cross_entropy,
    margin_cross_entropy as margin_cross_entropy,
    tau_normalize as tau_normalize,
)
from jaxloss._gala import (
    gala as gala,
    gala_objective as gala_objective,
    rebalance_predictions as rebalance_predictions,
)

# Targets: what a bias model leaves over
from jaxloss._debias import (
    greedy_pseudo_labels as greedy_pseudo_labels,
    greedy_gradient as greedy_gradient,
    general_greedy_debias as general_greedy_debias,
    curriculum_weight as curriculum_weight,
)

# Losses that remember
from jaxloss._objective import (
    Objective as Objective,
    Signals as Signals,
    stateless as stateless,
    truncated_gce_objective as truncated_gce_objective,
)

# From one loss per example to numbers
from jaxloss._reduce import masked_mean as masked_mean
from jaxloss import metrics as metrics
