"""JAX losses for labels that misbehave: long tails, wrong labels, shortcuts."""

# The primitive, and the curves of it
from jaxloss import curves as curves
from jaxloss._log_odds import label_log_odds as label_log_odds

# Curves on the softmax
from jaxloss._softmax import (
    cross_entropy as cross_entropy,
    label_smoothed as label_smoothed,
    focal as focal,
    poly1 as poly1,
    taylor_cross_entropy as taylor_cross_entropy,
    generalized_cross_entropy as generalized_cross_entropy,
    truncated_generalized_cross_entropy as truncated_generalized_cross_entropy,
    symmetric_cross_entropy as symmetric_cross_entropy,
    z_loss as z_loss,
)
from jaxloss._distance import (
    mean_absolute_error as mean_absolute_error,
    squared_error as squared_error,
)
from jaxloss._encouraging import (
    encouraging as encouraging,
    mirror_bonus as mirror_bonus,
    encouraging_schedule as encouraging_schedule,
)

# Noisy labels, beyond the curves
from jaxloss._robust import (
    normalized_cross_entropy as normalized_cross_entropy,
    forward_corrected_cross_entropy as forward_corrected_cross_entropy,
    backward_corrected_cross_entropy as backward_corrected_cross_entropy,
)
from jaxloss._transition import (
    symmetric_transition as symmetric_transition,
    pair_transition as pair_transition,
    transition_from_anchors as transition_from_anchors,
    transition_from_labels as transition_from_labels,
)
from jaxloss._bi_tempered import bi_tempered_logistic as bi_tempered_logistic

# Curves on the sigmoid
from jaxloss._sigmoid import (
    multilabel as multilabel,
    sigmoid_cross_entropy as sigmoid_cross_entropy,
    sigmoid_focal as sigmoid_focal,
    asymmetric as asymmetric,
    halted_focal as halted_focal,
    sigmoid_encouraging as sigmoid_encouraging,
    sigmoid_equalization as sigmoid_equalization,
)

# Shifts: class frequencies, and gradients accumulated in training
from jaxloss._class_counts import (
    class_log_prior as class_log_prior,
    class_weights as class_weights,
    deferred_weights as deferred_weights,
    label_aware_smoothing as label_aware_smoothing,
)
from jaxloss._long_tail import (
    adjust_logits as adjust_logits,
    posthoc_adjust_logits as posthoc_adjust_logits,
    logit_adjusted_cross_entropy as logit_adjusted_cross_entropy,
    margin_cross_entropy as margin_cross_entropy,
    tau_normalize as tau_normalize,
)
from jaxloss._margins import (
    vector_scaling as vector_scaling,
    ldam as ldam,
    equalization as equalization,
    seesaw as seesaw,
)
from jaxloss._cosine import (
    arcface as arcface,
    cosface as cosface,
    logit_norm as logit_norm,
)
from jaxloss._gala import (
    gala as gala,
    gala_margins as gala_margins,
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
from jaxloss._ensemble import greedy_ensemble as greedy_ensemble
from jaxloss._reweight import (
    group_dro as group_dro,
    relative_difficulty as relative_difficulty,
)
from jaxloss._bias_models import (
    bias_product as bias_product,
    learned_mixin as learned_mixin,
    bias_reweighted as bias_reweighted,
    rubi as rubi,
)

# Millions of classes: the log-odds straight from the head
from jaxloss._linear import (
    linear_label_log_odds as linear_label_log_odds,
    linear_log_odds_and_normalizer as linear_log_odds_and_normalizer,
)
from jaxloss._linear_inputs import block_size as block_size
from jaxloss._linear_top_k import linear_top_k as linear_top_k

# Gradients that are not the loss's own
from jaxloss._gradient import scale_gradient as scale_gradient

# Losses that remember
from jaxloss._objective import (
    HeadMargins as HeadMargins,
    Objective as Objective,
    stateless as stateless,
    truncated_gce_objective as truncated_gce_objective,
)
from jaxloss._running import (
    deferred_objective as deferred_objective,
    seesaw_objective as seesaw_objective,
    equalization_v2_objective as equalization_v2_objective,
)

# Gradient statistics: what a loss does to training
from jaxloss._signals import (
    HeadSignals as HeadSignals,
    Signals as Signals,
    value_grad_and_signals as value_grad_and_signals,
)
from jaxloss._groups import (
    Groups as Groups,
    by_class as by_class,
    by_confidence as by_confidence,
    by_example as by_example,
    by_label as by_label,
)
from jaxloss._probe import (
    Probe as Probe,
    ClassGradients as ClassGradients,
    GradientNorms as GradientNorms,
    Histogram as Histogram,
    class_gradients as class_gradients,
    combine_probes as combine_probes,
    gradient_norms as gradient_norms,
    log_odds_histogram as log_odds_histogram,
    merge_probe_states as merge_probe_states,
    summed_probe as summed_probe,
)
from jaxloss._classifier import (
    ClassVectors as ClassVectors,
    FeatureMeans as FeatureMeans,
    HeadGradients as HeadGradients,
    class_vectors as class_vectors,
    feature_means as feature_means,
    head_gradients as head_gradients,
)
from jaxloss._observe import observe as observe
from jaxloss._analyze import analyze as analyze

# From one loss per example to numbers
from jaxloss._reduce import masked_mean as masked_mean
from jaxloss import metrics as metrics
