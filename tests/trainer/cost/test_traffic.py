"""HBM traffic read from the schedule of compiled programs, as libtpu 0.0.42 prints it."""

from trainer.cost import traffic

PROGRAM = """\
HloModule jit_step, is_scheduled=true

%fused (p: bf16[64,8], q: bf16[64,8]) -> bf16[64,8] {
  %p = bf16[64,8]{1,0} parameter(0)
  %q = bf16[64,8]{1,0} parameter(1)
  ROOT %add = bf16[64,8]{1,0} add(%p, %q)
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[]{:T(128)}, f32[4]{0:T(128)}) parameter(0)
  %values = f32[4]{0:T(128)} get-tuple-element(%state), index=1
  %count = s32[]{:T(128)S(6)} get-tuple-element(%state), index=0
  %double = f32[4]{0:T(128)} add(%values, %values)
  ROOT %next = (s32[]{:T(128)}, f32[4]{0:T(128)}) tuple(%count, %double)
}

ENTRY %main (a: bf16[64,8], s: (s32[], f32[4])) -> (bf16[64,8], s32[]) {
  %a = bf16[64,8]{1,0:T(8,128)(2,1)} parameter(0)
  %s = (s32[]{:T(128)}, f32[4]{0:T(128)}) parameter(1)
  %start = ((bf16[64,8]{1,0:T(8,128)}), bf16[16,8]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%a)
  %done = bf16[16,8]{1,0:T(8,128)S(1)} slice-done(%start)
  %whole = bf16[64,8]{1,0:T(8,128)S(1)} custom-call(%done, %done), custom_call_target="ConcatBitcast"
  %sums = (f32[8]{0:T(128)S(1)}, bf16[64,8]{1,0:T(8,128)}) fusion(%a, %whole), kind=kOutput, \
calls=%fused, metadata={op_name="jit(step)/conv" stack_frame_id=3}
  %out = bf16[64,8]{1,0:T(8,128)} get-tuple-element(%sums), index=1
  %back = (f32[8]{0:T(128)}, f32[8]{0:T(128)S(1)}, u32[]{:S(2)}) copy-start(%one)
  %loop = (s32[]{:T(128)}, f32[4]{0:T(128)}) while(%s), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"5"}}
  ROOT %result = (bf16[64,8]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%out, %s)
}
"""


def traffic_rows(text):
    return [(row.name, row.read, row.written, row.times) for row in traffic.instructions(text)]


def test_arrays_in_vmem_count_nothing_and_a_slice_counts_only_itself():
    dumped = PROGRAM.replace("slice-start(%a)", "async-start(%a), calls=%fused")  # as XLA's dump has it
    assert traffic_rows(dumped) == traffic_rows(PROGRAM)
    assert traffic_rows(PROGRAM) == [
        ("start", 256, 0, 1),  # 16 x 8 of bf16, into VMEM; not the 1,024 bytes that it is cut from
        ("sums", 1024, 1024, 1),
        ("back", 0, 32, 1),  # from VMEM
        ("double", 32, 16, 5),  # the loop runs five times
    ]
    # 256 + 2,048 + 32 + 5 x 48
    assert traffic.totals(PROGRAM)[1] == 2576


def test_an_instruction_names_its_traced_operation():
    assert [row.source for row in traffic.instructions(PROGRAM) if row.name == "sums"] == ["jit(step)/conv"]
