"""Mixup and CutMix: what they do to images, labels and losses, and that (seed, step) decides it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import AugmentConfig, OptimConfig
from trainer.learning.losses import binary_cross_entropy, cross_entropy, example_losses, soft_labels
from trainer.learning.mixing import Mix, mix

LABELS = np.arange(6, dtype=np.int32)
IMAGES = np.broadcast_to(LABELS[:, None, None, None].astype(np.float32), (6, 8, 8, 1))


def mixed(step=0, seed=0, **fields):
    return mix(jnp.array(IMAGES), jnp.array(LABELS), seed, jnp.array(step), AugmentConfig(**fields))


def test_mixup_is_a_weighted_sum_with_the_mirror_of_the_batch():
    images, made = mixed(mixup=0.5)
    share = float(made.share[0])
    assert 0 < share < 1
    np.testing.assert_array_equal(made.labels, [5, 4, 3, 2, 1, 0])
    np.testing.assert_allclose(images[1], np.full((8, 8, 1), share * 1 + (1 - share) * 4), rtol=1e-5)


def test_mixup_with_the_previous_image_leaves_the_larger_share_for_the_own_label():
    shares = []
    for step in range(8):
        images, made = mixed(step, mixup=0.5, partner="previous")
        share = float(made.share[0])
        np.testing.assert_array_equal(made.labels, [5, 0, 1, 2, 3, 4])  # as jnp.roll(labels, 1)
        np.testing.assert_allclose(images[1], np.full((8, 8, 1), share * 1 + (1 - share) * 0), rtol=1e-5)
        np.testing.assert_allclose(images[0], np.full((8, 8, 1), (1 - share) * 5), rtol=1e-5, atol=1e-6)
        mirror = float(mixed(step, mixup=0.5)[1].share[0])
        shares.append((share, mirror))
    larger = [max(mirror, 1 - mirror) for _, mirror in shares]
    assert [share for share, _ in shares] == pytest.approx(larger, abs=1e-6)  # the same draw
    assert min(mirror for _, mirror in shares) < 0.5


def test_cutmix_puts_a_box_in_and_its_area_is_the_share():
    sizes = set()
    for step in range(8):
        images, made = mixed(step, cutmix=1.0)
        inside = np.asarray(images[0, :, :, 0]) == 5
        assert float(made.share[0]) == pytest.approx(1 - inside.mean(), abs=1e-6)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if inside.any():
            assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # one full rectangle
        sizes.add(int(inside.sum()))
    assert len(sizes) > 3


def test_with_both_a_coin_of_the_step_decides():
    kinds = [set(np.unique(mixed(step, mixup=0.5, cutmix=1.0)[0][0])) <= {0.0, 5.0} for step in range(24)]
    assert 4 < sum(kinds) < 20


def test_the_same_step_and_seed_mix_alike_and_others_do_not():
    first, again, step, seed = (mixed(*a, mixup=0.5)[1].share[0] for a in ((3, 1), (3, 1), (4, 1), (3, 2)))
    assert first == again
    assert first not in (step, seed)


def test_soft_labels_by_hand():
    plain = soft_labels(jnp.array([1]), None, 4, 0.2)
    np.testing.assert_allclose(plain, [[0.05, 0.85, 0.05, 0.05]], rtol=1e-6)
    both = soft_labels(jnp.array([1]), Mix(jnp.array([2]), jnp.array([0.7])), 4, 0.0)
    np.testing.assert_allclose(both, [[0, 0.7, 0.3, 0]], rtol=1e-6)


def test_losses_by_hand():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1]]))
    labels, other = jnp.array([0]), Mix(jnp.array([1]), jnp.array([0.75]))
    # 0.75 x -ln 0.7 + 0.25 x -ln 0.2
    mixed_loss = example_losses(logits, labels, other, OptimConfig(label_smoothing=0.0))
    assert float(mixed_loss[0]) == pytest.approx(0.669866, abs=1e-5)
    # Logits of 0 and ln 3: yes 1/2 and 3/4. Targets 1 and 0: (ln 2 + ln 4) / 2.
    two = binary_cross_entropy(jnp.array([[0.0, np.log(3.0)]]), jnp.array([[1.0, 0.0]]))
    assert float(two[0]) == pytest.approx(1.039721, abs=1e-5)


def test_a_binary_loss_counts_both_of_two_mixed_classes_but_no_sliver():
    logits = jnp.zeros((1, 3)).at[0, 0].set(2.0)
    config = OptimConfig(loss="binary", label_smoothing=0.0)
    labels = jnp.array([0])

    def mixed_with(share):
        return float(example_losses(logits, labels, Mix(jnp.array([1]), jnp.array([share])), config)[0])

    alone = float(example_losses(logits, labels, None, config)[0])
    assert mixed_with(0.9) == pytest.approx(alone, abs=1e-6)
    # Class 1 at a logit of 0 costs ln 2 either way, so both wanted is the same here as one.
    assert mixed_with(0.5) == pytest.approx(alone, abs=1e-6)
    assert mixed_with(0.1) > alone + 0.5  # class 0 is the sliver now


def test_mixed_labels_that_are_the_same_are_the_plain_loss():
    logits, labels = jax.random.normal(jax.random.key(0), (4, 5)), jnp.array([0, 1, 2, 3])
    same = example_losses(logits, labels, Mix(labels, jnp.full(4, 0.3)), OptimConfig(label_smoothing=0.1))
    np.testing.assert_allclose(same, cross_entropy(logits, labels, 0.1), rtol=1e-5)
