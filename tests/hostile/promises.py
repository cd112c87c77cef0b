"""What each isolation level promises, case by case; `docs/security.md` says the same in sentences.

A case is a test function of this suite without its `test_`. It is played at the levels that promise it. At the
others the test does not exist, and nothing is said about the case: it may succeed there.
"""

from dataclasses import dataclass


LEVELS = ("namespaces", "process", "oci")
USERS = ("root", "rootless")


@dataclass(frozen=True)
class Promise:
    """Who promises a case: pairs of the level and of the user who starts the daemon."""

    stages: frozenset

    def holds(self, level: str, user: str) -> bool:
        """Whether a daemon that ``user`` has started at ``level`` promises it."""
        return (level, user) in self.stages


def _promise(levels=LEVELS, users=USERS) -> Promise:
    return Promise(frozenset((level, user) for level in levels for user in users))


#: Promised at every level, whoever starts the daemon.
EVERYWHERE = _promise()

#: Needs a view of its own: of files, processes, network interfaces, or the kernel's objects.
OWN_VIEW = _promise(levels=("namespaces", "oci"))

#: Needs that either the processes outside cannot be named, or that they belong to another user, which only
#: root can arrange.
OUT_OF_REACH = Promise(OWN_VIEW.stages | {("process", "root")})

#: Needs a user without the groups of the daemon's, which only root can arrange.
OWN_USER = _promise(users=("root",))

#: Needs cgroups, which an ordinary user has only where they were delegated. Without them memory is limited
#: for each process, and some of it (sockets, shared memory) not at all.
CGROUPS = _promise(users=("root",))

PROMISES = {
    # Files.
    "secrets_of_the_host": EVERYWHERE,
    "files_of_the_host_are_not_there": OWN_VIEW,
    "data_of_the_daemon": EVERYWHERE,
    "roots_of_other_processes": EVERYWHERE,
    "environment_of_other_processes": EVERYWHERE,
    "environment_has_nothing_of_the_daemon": EVERYWHERE,
    "memory_of_the_kernel": EVERYWHERE,
    "addresses_of_the_kernel": OWN_VIEW,
    "system_files": EVERYWHERE,
    "descriptions_of_the_host_are_covered": OWN_VIEW,
    "devices": EVERYWHERE,
    "device_nodes": EVERYWHERE,
    "devices_cannot_be_changed": EVERYWHERE,
    "sockets_of_services": EVERYWHERE,
    "abstract_sockets_of_the_host": OWN_VIEW,
    "code_and_tmp_of_the_victim": EVERYWHERE,
    "instances_of_one_function_share_no_tmp": EVERYWHERE,
    "writing_outside_tmp": EVERYWHERE,
    "changing_its_own_code": EVERYWHERE,
    "reopening_code_for_writing": EVERYWHERE,
    "links_to_what_it_may_not_read": EVERYWHERE,
    "links_in_tmp_are_not_followed": EVERYWHERE,
    "handles_of_files": EVERYWHERE,
    "climbing_out_of_the_root": OWN_VIEW,
    "descriptors_left_open": EVERYWHERE,
    "set_user_id_programs": EVERYWHERE,
    "set_user_id_files_of_its_own": EVERYWHERE,
    "capabilities_of_files": EVERYWHERE,
    "programs_in_memory_have_no_more_rights": EVERYWHERE,
    "groups_of_the_daemon": OWN_USER,
    # Rights.
    "becoming_somebody_else": EVERYWHERE,
    "taking_capabilities": EVERYWHERE,
    "switching_off_no_new_privs": EVERYWHERE,
    "personality": EVERYWHERE,
    "new_namespaces_by_unshare": EVERYWHERE,
    "new_namespaces_by_clone": EVERYWHERE,
    "other_namespaces": EVERYWHERE,
    "no_namespace_may_be_made": OWN_VIEW,
    # Processes.
    "processes_that_are_seen": OWN_VIEW,
    "signals_to_the_host": OUT_OF_REACH,
    "signal_to_everybody": OUT_OF_REACH,
    "signal_to_init": OWN_VIEW,
    "tracing": EVERYWHERE,
    "memory_of_other_processes": EVERYWHERE,
    "descriptors_of_other_processes": EVERYWHERE,
    "priorities": EVERYWHERE,
    "killer_of_processes_spares_it_before_the_daemon": EVERYWHERE,
    "core_dumps": EVERYWHERE,
    "stopped_child": EVERYWHERE,
    "child_of_vfork": EVERYWHERE,
    "flood_of_zombies": EVERYWHERE,
    "fork_bomb": EVERYWHERE,
    "flood_of_threads": EVERYWHERE,
    "surviving_the_timeout": EVERYWHERE,
    "surviving_its_deletion": EVERYWHERE,
    # The kernel.
    "refused_call": EVERYWHERE,
    "calls_of_the_32_bit_interface": EVERYWHERE,
    "calls_of_the_x32_interface": EVERYWHERE,
    "socket_families": EVERYWHERE,
    "socket_protocols": EVERYWHERE,
    "netlink_changes": EVERYWHERE,
    "raw_sockets": EVERYWHERE,
    "programs_for_sockets": EVERYWHERE,
    "flood_of_filters": EVERYWHERE,
    "input_of_terminals": EVERYWHERE,
    "settings_of_the_kernel": EVERYWHERE,
    "own_process_files": EVERYWHERE,
    "shared_memory_of_system_v": OWN_VIEW,
    "queues_of_posix": OWN_VIEW,
    "syncing_the_hosts_disks": EVERYWHERE,
    # The network.
    "listener_of_the_daemon": OWN_VIEW,
    "services_of_the_host": OWN_VIEW,
    "metadata_address": OWN_VIEW,
    "interfaces_of_the_host": OWN_VIEW,
    "runtime_api_of_another": OWN_VIEW,
    "taking_the_platforms_ports": OWN_VIEW,
    "names_and_packets_to_the_world": OWN_VIEW,
    # Resources.
    "memory_of_one_process": EVERYWHERE,
    "memory_of_many_processes": CGROUPS,
    "memory_in_shared_files": CGROUPS,
    "memory_in_sockets": CGROUPS,
    "flood_of_descriptors": EVERYWHERE,
    "descriptors_in_flight": EVERYWHERE,
    "disk_in_tmp": OWN_VIEW,
    "inodes_in_tmp": OWN_VIEW,
    "writing_to_dev_shm": EVERYWHERE,
    "raising_its_limits": EVERYWHERE,
    # The Runtime API.
    "forged_responses": EVERYWHERE,
    "answering_twice": EVERYWHERE,
    "answering_an_earlier_event": EVERYWHERE,
    "answering_after_the_timeout": EVERYWHERE,
    "late_init_error": EVERYWHERE,
    "two_events_at_once": EVERYWHERE,
    "oversized_responses": EVERYWHERE,
    "malformed_requests": EVERYWHERE,
    "smuggled_requests": EVERYWHERE,
    "large_heads": EVERYWHERE,
    "slow_response": EVERYWHERE,
    "idle_connections": EVERYWHERE,
    "closing_in_the_middle": EVERYWHERE,
    "forged_error_types": EVERYWHERE,
    # The AWS endpoint.
    "functions_of_another_account": EVERYWHERE,
    "downloads_without_a_link": EVERYWHERE,
    "paths_of_the_endpoint": EVERYWHERE,
    "large_bodies": EVERYWHERE,
    # Logs.
    "flood_of_output": EVERYWHERE,
    "flood_over_many_events": EVERYWHERE,
    "endless_line": EVERYWHERE,
    "binary_output": EVERYWHERE,
    "forged_log_lines": EVERYWHERE,
    # Packages and names.
    "malicious_package": EVERYWHERE,
    "odd_package_stays_inside": EVERYWHERE,
    "archive_with_a_million_entries": EVERYWHERE,
    "names_with_paths": EVERYWHERE,
    "handlers_with_paths": EVERYWHERE,
    # What is left.
    "aftermath_processes": EVERYWHERE,
    "aftermath_files": EVERYWHERE,
    "aftermath_memory": EVERYWHERE,
    "aftermath_mounts_and_cgroups": EVERYWHERE,
    "aftermath_of_the_stop": EVERYWHERE,
}
