"""JAX losses for labels that misbehave: long tails, wrong labels, shortcuts."""

# Primitive and curves
from jaxloss import curves as curves
from jaxloss import metrics as metrics

# Targets: pseudo-labels and weights from a bias model
from jaxloss._debias import curriculum_weight as curriculum_weight
from jaxloss._debias import general_greedy_debias as general_greedy_debias
from jaxloss._debias import greedy_gradient as greedy_gradient
from jaxloss._debias import greedy_pseudo_labels as greedy_pseudo_labels
from jaxloss._log_odds import label_log_odds as label_log_odds

# Shifts: long tails
from jaxloss._long_tail import adjust_logits as adjust_logits
from jaxloss._long_tail import class_log_prior as class_log_prior
from jaxloss._long_tail import gala as gala
from jaxloss._long_tail import (
    logit_adjusted_cross_entropy as logit_adjusted_cross_entropy,
)
from jaxloss._long_tail import margin_cross_entropy as margin_cross_entropy
from jaxloss._long_tail import posthoc_adjust_logits as posthoc_adjust_logits
from jaxloss._long_tail import rebalance_predictions as rebalance_predictions
from jaxloss._long_tail import tau_normalize as tau_normalize

# Stateful losses
from jaxloss._objective import Objective as Objective
from jaxloss._objective import Signals as Signals
from jaxloss._objective import gala_objective as gala_objective
from jaxloss._objective import stateless as stateless
from jaxloss._objective import truncated_gce_objective as truncated_gce_objective

# From one loss per example to a number
from jaxloss._reduce import masked_mean as masked_mean

# Curves on the sigmoid
from jaxloss._sigmoid import sigmoid_cross_entropy as sigmoid_cross_entropy

# Curves on the softmax
from jaxloss._softmax import cross_entropy as cross_entropy
from jaxloss._softmax import encouraging as encouraging
from jaxloss._softmax import focal as focal
from jaxloss._softmax import generalized_cross_entropy as generalized_cross_entropy
from jaxloss._softmax import mean_absolute_error as mean_absolute_error
from jaxloss._softmax import (
    truncated_generalized_cross_entropy as truncated_generalized_cross_entropy,
)
