"""Collectives read from the HLO text of compiled programs, as libtpu 0.0.42 and 0.0.50 print it."""

from trainer.cost.collectives import collectives

INSIDE = """
  %all-reduce.1 = (f32[64]{0:T(128)S(1)}, f32[64]{0:T(128)S(1)}) all-reduce(%a, %b), channel_id=2
  ROOT %all-reduce.2 = bf16[256,1024]{1,0:T(8,128)(2,1)} all-reduce(%c), channel_id=3
  %gte = f32[64]{0} get-tuple-element(%all-reduce.1), index=0
  %fusion = f32[64]{0} fusion(%all-reduce.1), kind=kLoop, calls=%fused
"""
ASYNC = """
  %ag = (f32[16]{0}, f32[64]{0}) all-gather-start(%a), channel_id=1
  %agd = f32[64]{0} all-gather-done(%ag)
  %ar = f32[8]{0} all-reduce-start(%a), channel_id=2
"""
BETWEEN = """
  %all-reduce.66 = f32[1,1,128]{2,1,0:T(1,128)} all-reduce(%m), channel_id=1
  %send = (f32[1,1,128]{2,1,0}, u32[], token[]) send(%all-reduce.66), frontend_attributes=\
{_xla_host_transfer_handler_name="xla_megascale_runtime"}
  %recv = (f32[1,1,128]{2,1,0}, u32[], token[]) recv(%after), frontend_attributes=\
{_xla_host_transfer_handler_name="xla_megascale_runtime"}
"""

HOSTS = 'frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}'
# The second overlaps the first, the third the second; the fourth begins after all have arrived.
APART = f"""
  %recv = (f32[8]{{0}}, u32[]{{:S(2)}}, token[]) recv(%after-all), {HOSTS}
  %recv.1 = (f32[8]{{0}}, u32[]{{:S(2)}}, token[]) recv(%after-all.1), {HOSTS}
  %recv-done = (f32[8]{{0}}, token[]) recv-done((f32[8]{{0}}, u32[], token[]) %recv), {HOSTS}
  %recv.2 = (f32[8]{{0}}, u32[]{{:S(2)}}, token[]) recv(%after-all.2), {HOSTS}
  %recv-done.1 = (f32[8]{{0}}, token[]) recv-done(%recv.1), {HOSTS}
  %inside.1 = (f32[8]{{0}}, token[]) recv-done(%inside), channel_id=9
  %recv-done.2 = (f32[8]{{0}}, token[]) recv-done(%recv.2), {HOSTS}
  %recv.3 = (f32[8]{{0}}, u32[]{{:S(2)}}, token[]) recv(%after-all.3), {HOSTS}
  %send.3 = (f32[8]{{0}}, u32[]{{:S(2)}}, token[]) send(%a, %after-all.3), {HOSTS}
  %recv-done.3 = (f32[8]{{0}}, token[]) recv-done(%recv.3), {HOSTS}
"""

LOOPED = """HloModule jit_train_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

%fused (x: f32[8]) -> f32[8] {
  ROOT %all-reduce.3 = f32[8]{0} all-reduce(%x), channel_id=3, to_apply=%sum
}

%body (s: (s32[], f32[8])) -> (s32[], f32[8]) {
  %all-reduce.1 = f32[8]{0} all-reduce(%x), channel_id=1, to_apply=%sum
  ROOT %fusion = f32[8]{0} fusion(%all-reduce.1), kind=kCustom, calls=%fused
}

%cond (s: (s32[], f32[8])) -> pred[] {
  %five.1 = s32[]{:T(128)} constant(5)
  %turn = s32[]{:T(128)} get-tuple-element(%s), index=0
  ROOT %lt.1 = pred[]{:T(512)} compare(%turn, %five.1), direction=LT
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %loop = (s32[], f32[8]{0}) while(%s), condition=%cond, body=%body
  ROOT %all-reduce.2 = f32[8]{0} all-reduce(%y), channel_id=2, to_apply=%sum
}
"""

# As libtpu 0.0.42 prints a step for TPU7x: the SparseCore runs what `call` names, beside the TensorCore.
OFFLOADED = """HloModule jit_train_step, is_scheduled=true

%called_computation (param_0: f32[512,1000], param_1: token[]) -> f32[512,1000] {
  ROOT %all-reduce.139 = f32[512,1000]{0,1:T(8,128)} all-reduce(%param_0), channel_id=96, to_apply=%add
}, execution_thread="sparsecore"

%async_computation (param_2: f32[512,1000], param_3: token[]) -> f32[512,1000] {
  ROOT %all-reduce.140 = f32[512,1000]{0,1:T(8,128)} call(%param_2, %param_3), to_apply=%called_computation
}, execution_thread="sparsecore"

ENTRY %main (p: f32[512,1000]) -> f32[512,1000] {
  %start = ((f32[512,1000]{0,1:T(8,128)}, token[]), f32[512,1000]{0,1:T(8,128)}) async-start(%p, %token), \
async_execution_thread="sparsecore", calls=%async_computation
  ROOT %done = f32[512,1000]{0,1:T(8,128)} async-done(%start)
}
"""
BRANCHED = """HloModule jit_train_step

%left (x: f32[8]) -> f32[8] {
  ROOT %all-reduce.1 = f32[8]{0} all-reduce(%x), channel_id=1, to_apply=%sum
}

%right (x: f32[8]) -> f32[8] {
  ROOT %all-gather.1 = f32[8]{0} all-gather(%x), channel_id=2
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %listed = f32[8]{0} conditional(%i, %p, %p), branch_computations={%left, %right}
  ROOT %named = f32[8]{0} conditional(%b, %p, %p), true_computation=%left, false_computation=%right
}
"""


def row(kind, network, number, size):
    return {"kind": kind, "network": network, "number": number, "bytes": size}


def test_results_are_summed_and_their_users_are_not():
    # 2 x 64 x 4 bytes, and 256 x 1024 x 2
    assert collectives(INSIDE) == [row("all-reduce", "ici", 2, 512 + 524_288)]


def test_the_start_of_a_gather_counts_its_result_only():
    assert collectives(ASYNC) == [row("all-gather", "ici", 1, 256), row("all-reduce", "ici", 1, 32)]


def test_only_sends_count_as_traffic_between_slices():
    assert collectives(BETWEEN) == [
        row("all-reduce", "ici", 1, 512),
        row("send", "dcn", 1, 512) | {"rounds": 0},
    ]


def test_overlapping_transfers_are_one_round():
    # The first, third and fourth follow each other; the second overlaps the first and the third.
    assert collectives(APART) == [row("send", "dcn", 1, 32) | {"rounds": 3}]


def test_collectives_of_a_loop_count_once_per_iteration():
    # Two in each of 5 iterations, one of them inside a fusion, and one after the loop.
    assert collectives(LOOPED) == [row("all-reduce", "ici", 2 * 5 + 1, 11 * 32)]


def test_a_collective_of_the_sparsecore_is_one_of_the_step():
    assert collectives(OFFLOADED) == [row("all-reduce", "ici", 1, 512 * 1000 * 4)]


def test_each_branch_counts_wherever_it_is_taken():
    assert collectives(BRANCHED) == [row("all-gather", "ici", 2, 64), row("all-reduce", "ici", 2, 64)]
