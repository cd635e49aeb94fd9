"""Where each kind of attack is tried, and where each parser of foreign bytes is fuzzed.

The tests stand beside what they test. The tables fail once one of them is renamed, removed or smaller.
"""

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

# kind of attack -> tests that fail where it succeeds; FILE::TEST below tests/
KINDS = {
    "a dataset names a file elsewhere": [
        "trainer/data/test_names.py::test_no_folder_reads_or_writes_such_a_name",
        "trainer/data/test_staging.py::test_a_name_that_leads_out_of_the_stage_is_refused",
        "hostile/test_datasets.py::test_a_pack_writes_through_no_link",
    ],
    "code of the current directory": [
        "launcher/local/test_machine.py::test_no_verb_runs_code_of_the_current_directory",
        "launcher/local/test_machine.py::"
        "test_pods_open_no_port_on_the_network_and_run_no_code_of_the_current_directory",
    ],
    "a stranger's resnet-launch.yaml": [
        "launcher/request/test_discovery.py::test_a_stranger_s_file",
        "launcher/request/test_discovery.py::test_a_stranger_s_link_to_one_s_own_file",
        "launcher/request/test_discovery.py::test_no_verb_uses_a_stranger_s_file",
        "launcher/request/test_discovery.py::test_the_file_is_named",
    ],
    "links and odd values in a run directory": [
        "trainer/rundir/test_files.py::test_a_link_in_the_place_of_a_file_is_not_followed",
        "hostile/test_run_directory.py::test_a_run_writes_through_no_link_of_a_stranger",
        "hostile/test_run_directory.py::test_any_rows_make_a_page",
    ],
    "folders that another user made or may rename": [
        "trainer/runtime/test_private.py::test_what_someone_else_put_there_is_refused",
        "trainer/runtime/test_private.py::test_no_folder_above_lets_everyone_rename_it",
        "trainer/devices/test_cache_trust.py::test_a_folder_of_others_is_no_cache",
        "trainer/data/test_staging.py::test_a_copy_that_was_changed_is_fetched_again",
    ],
    "a .pth outside its storage": [
        "trainer/weights/test_torch_file.py::test_a_tensor_outside_its_storage_is_refused",
        "trainer/weights/test_torch_file.py::test_nothing_that_a_pickle_names_is_called",
        "trainer/weights/test_torch_file.py::test_a_pickle_that_would_cost_much_is_refused_soon",
    ],
    "escapes on a terminal and forged lines": [
        "hostile/test_terminal.py::test_a_control_character_is_shown",
        "hostile/test_terminal.py::test_a_line_of_the_status_cannot_be_imitated",
        "hostile/test_log_lines.py::test_a_text_stays_one_field_of_one_line",
        "hostile/test_datasets.py::test_no_name_of_a_file_reaches_the_terminal",
    ],
    "labels that leave a policy": [
        "cluster/test_admission.py::test_what_a_run_may_not_ask_for",
        "launcher/rendering/test_identity.py::test_a_reserved_key_is_refused",
    ],
    "another run's coordinator": [
        "cluster/test_admission.py::test_a_researcher_s_run_has_its_network_policy",
        "cluster/test_admission.py::test_a_researcher_writes_no_other_network_policy",
    ],
    "objects of others": [
        "cluster/test_ownership.py::test_a_jobset_that_the_launcher_did_not_make_is_left_alone",
        "cluster/test_ownership.py::test_another_person_s_run_needs_its_name",
        "cluster/test_ownership.py::test_only_the_object_that_was_read_is_changed",
    ],
    "a patch of the ConfigMap": ["hostile/test_requests.py::test_a_patch_of_the_cluster_is_a_mapping"],
    "a few bytes that cost much": [
        "trainer/data/images/test_bombs.py::test_a_bomb_costs_neither_time_nor_memory",
        "trainer/data/formats/test_memory.py::test_one_line_says_what_does_not_fit",
        "hostile/test_requests.py::test_a_document_of_a_few_bytes_costs_little",
        "hostile/test_lines.py::test_a_long_line_is_read_at_once",
    ],
    "render --explain": [
        "launcher/rendering/test_comments.py::test_a_value_of_several_lines_stays_as_it_is",
        "launcher/rendering/test_comments.py::test_what_would_alter_the_manifest_is_never_printed",
    ],
    "code that a run names": [
        "hostile/test_own_code.py::test_a_module_beside_the_run_is_not_imported",
        "hostile/test_own_code.py::test_a_report_imports_the_network_only_where_a_person_names_it",
        "hostile/test_own_code.py::test_only_an_architecture_is_called_and_no_module_of_python_is_imported",
    ],
    "code that is packed and unpacked": [
        "launcher/code/test_selection.py::test_links_that_lead_elsewhere_are_refused",
        "launcher/code/test_selection.py::test_a_folder_that_became_a_link_is_not_followed",
        "launcher/code/test_selection.py::test_no_program_of_the_repository_is_run",
        "trainer/code/test_unpack.py::"
        "test_what_would_leave_the_directory_is_refused_before_anything_is_written",
        "trainer/code/test_unpack.py::test_an_archive_that_was_changed_is_refused",
        "trainer/code/test_unpack.py::test_an_archive_that_would_fill_the_node_is_refused",
        "cluster/test_code.py::test_an_archive_that_somebody_changed_stops_the_submission",
        "cluster/test_code_node.py::test_by_the_bucket_the_same_bytes_run_after_a_restart_and_others_never",
    ],
    "a registry": [
        "launcher/check/test_image_registry.py::test_a_token_stays_with_the_host_that_asked_for_it",
        "launcher/check/test_image_registry.py::test_a_realm_elsewhere_is_not_asked",
        "launcher/check/test_image_registry.py::test_a_registry_that_drips_is_given_up",
        "launcher/image/test_push.py::test_a_redirect_elsewhere_is_not_followed",
        "launcher/image/test_push.py::test_a_blob_on_another_host_is_read_without_the_token",
        "launcher/image/test_push.py::test_an_upload_elsewhere_is_not_begun",
        "launcher/image/test_base.py::test_any_reply_is_read_or_refused",
    ],
    "packages and images": [
        "test_supply_chain.py::test_a_package_with_other_bytes_is_not_installed",
        "test_supply_chain.py::test_actions_are_named_by_commit",
    ],
}
# parser -> (its fuzz, a line of that file that states the inputs, how many they are)
PARSERS = {
    "JPEG, PNG, WebP": (
        "trainer/data/images/test_mutations.py::test_a_mutation_is_refused_or_shows_what_pillow_shows",
        "EACH = 300",
        15 * 300,
    ),
    "manifest, ArrayRecord, TFRecord, tar, IDX": (
        "trainer/data/formats/test_mutations.py::test_a_damaged_dataset_is_read_or_refused",
        "CASES = 300",
        6 * 300,
    ),
    ".pth, safetensors": (
        "trainer/weights/test_fuzz.py::test_a_changed_file_of_another_library_is_refused_or_read_right",
        "CASES = 375",
        4 * 375,
    ),
    "API objects": (
        "launcher/runs/test_status.py::test_odd_objects_are_no_traceback",
        "for _ in range(1500):",
        1500,
    ),
    "archive of code": (
        "trainer/code/test_unpack.py::test_a_damaged_archive_is_unpacked_inside_or_refused",
        "CASES = 500",
        500,
    ),
    "YAML": (
        "hostile/test_requests.py::test_any_resnet_launch_yaml_is_read_or_refused",
        "SEED, MUTATIONS = 1616, 700",
        700,
    ),
    "ConfigMap": (
        "hostile/test_requests.py::test_any_configmap_is_read_or_refused_and_names_no_file",
        "SEED, MUTATIONS = 1616, 700",
        700,
    ),
    "JSON lines": (
        "hostile/test_run_directory.py::test_any_rows_make_a_page",
        "for _ in range(1000):",
        1000,
    ),
    "config.json": ("hostile/test_run_directory.py::test_config_json_is_fuzzed", "for _ in range(500):", 500),
    "log lines": ("hostile/test_lines.py::test_any_line_of_a_log_is_read", "for _ in range(2000):", 2000),
    "replies of a registry": (
        "hostile/test_lines.py::test_any_reply_of_a_registry_is_read",
        "for _ in range(1000):",
        1000,
    ),
}


@functools.cache
def functions(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_attack_has_its_tests(kind: str) -> None:
    for test in KINDS[kind]:
        file, _, name = test.partition("::")
        assert name in functions(file), test


@pytest.mark.parametrize("parser", PARSERS)
def test_each_parser_is_fuzzed(parser: str) -> None:
    test, line, _ = PARSERS[parser]
    file, _, name = test.partition("::")
    assert name in functions(file), test
    assert line in (TESTS / file).read_text(encoding="utf-8")


def test_there_are_ten_thousand_inputs() -> None:
    assert len(KINDS) == 17
    assert sum(inputs for _, _, inputs in PARSERS.values()) >= 10_000
