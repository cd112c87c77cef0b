"""What each isolation level promises, case by case; `docs/security.md` says the same in sentences.

A case is a test function of this suite without its `test_`. It is played at the levels that promise it. At the
others the test does not exist, and nothing is said about the case: it may succeed there.

Where the same code of lambd keeps a promise at several levels, playing the case at one of them is enough.
"""

from dataclasses import dataclass


LEVELS = ("namespaces", "process", "oci")
USERS = ("root", "rootless")


@dataclass(frozen=True)
class Promise:
    """Who promises a case, and where that is tried: pairs of the level and of the user who starts the daemon."""

    stages: frozenset
    played: frozenset

    def holds(self, level: str, user: str) -> bool:
        """Whether a daemon that ``user`` has started at ``level`` promises it."""
        return (level, user) in self.stages

    def is_played(self, level: str, user: str, users) -> bool:
        """Whether it is tried there, on a machine where ``users`` can start daemons: the first one does it
        where only another would."""
        if (level, user) in self.played:
            return True
        tried = {one for at, one in self.played if at == level}
        return bool(tried) and not tried & set(users) and self.holds(level, user)

    def __sub__(self, stages) -> "Promise":
        return Promise(self.stages - stages, self.played - stages)


def _stages(levels=LEVELS, users=USERS) -> frozenset:
    return frozenset((level, user) for level in levels for user in users)


def _promise(stages, played=None) -> Promise:
    return Promise(stages, stages & (stages if played is None else played))


#: By what the level is made of, so that each has to show it.
EVERYWHERE = _promise(_stages())

#: By the daemon, whatever its level: it is the same code, tried once.
DAEMON = _promise(_stages(), _stages(["namespaces"], ["root"]))

#: The sandbox that `namespaces` makes is also the one that `oci` starts its runtime in.
SANDBOX = _promise(_stages(), _stages(["namespaces", "process"]))

#: Needs a view of its own: of files, processes, network interfaces, or the kernel's objects.
OWN_VIEW = _promise(_stages(["namespaces", "oci"]))

#: The same, by what `oci` has from `namespaces`.
OWN_SANDBOX = _promise(_stages(["namespaces", "oci"]), _stages(["namespaces"]))

#: Needs a user without the groups of the daemon's, which only root can arrange.
OWN_USER = _promise(_stages(users=["root"]))

#: Needs cgroups, which an ordinary user has only where they were delegated. Without them memory is limited
#: for each process, and some of it (sockets, shared memory) not at all.
CGROUPS = _promise(_stages(users=["root"]), _stages(["namespaces"]))

#: In the place of what namespaces keep apart.
PROCESS = _promise(_stages(["process"]))

PROMISES = {
    # Files.
    "secrets_of_the_host": EVERYWHERE,
    "files_of_the_host_are_not_there": OWN_VIEW,
    "data_of_the_daemon": EVERYWHERE,
    "data_is_closed_to_other_users": SANDBOX,
    "neighbours_of_the_toolchain": SANDBOX,
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
    "abstract_sockets_of_the_host": EVERYWHERE,
    "code_and_tmp_of_the_victim": EVERYWHERE,
    "instances_of_one_function_share_no_tmp": SANDBOX,
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
    # An OCI runtime makes namespaces in its sandbox, so there is no such limit.
    "no_namespace_may_be_made": OWN_VIEW - _stages(["oci"]),
    # Processes.
    "processes_that_are_seen": OWN_VIEW,
    "signals_to_the_host": EVERYWHERE,
    "signal_to_everybody": EVERYWHERE,
    "signal_to_init": EVERYWHERE,
    "tracing": EVERYWHERE,
    "memory_of_other_processes": EVERYWHERE,
    "descriptors_of_other_processes": EVERYWHERE,
    "priorities": EVERYWHERE,
    # By Landlock, whose rules are not made for containers.
    "killer_of_processes_spares_it_before_the_daemon": EVERYWHERE - _stages(["oci"]),
    "core_dumps": EVERYWHERE,
    "stopped_child": EVERYWHERE,
    "child_of_vfork": SANDBOX,
    "flood_of_zombies": EVERYWHERE,
    "fork_bomb": SANDBOX,
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
    "objects_of_the_kernel_that_all_share": PROCESS,
    "syncing_the_hosts_disks": EVERYWHERE,
    # The network.
    "listener_of_the_daemon": SANDBOX,
    "services_of_the_host": SANDBOX,
    "metadata_address": SANDBOX,
    "interfaces_of_the_host": OWN_SANDBOX,
    "runtime_api_of_another": SANDBOX,
    "taking_the_platforms_ports": SANDBOX,
    "names_and_packets_to_the_world": SANDBOX,
    # Resources.
    "memory_of_one_process": SANDBOX,
    "memory_of_many_processes": CGROUPS,
    "memory_in_shared_files": CGROUPS,
    "memory_in_sockets": CGROUPS,
    "flood_of_descriptors": EVERYWHERE,
    # Without namespaces and a user of its own, what a user may have is shared.
    "objects_counted_for_their_user": EVERYWHERE - _stages(["process"], ["rootless"]),
    "descriptors_in_flight": SANDBOX,
    "disk_in_tmp": OWN_SANDBOX,
    "inodes_in_tmp": OWN_SANDBOX,
    "disk_in_its_directory": PROCESS,
    "writing_to_dev_shm": EVERYWHERE,
    "raising_its_limits": EVERYWHERE,
    # The Runtime API.
    "forged_responses": DAEMON,
    "answering_twice": DAEMON,
    "answering_an_earlier_event": DAEMON,
    "answering_after_the_timeout": DAEMON,
    "late_init_error": DAEMON,
    "two_events_at_once": DAEMON,
    "oversized_responses": DAEMON,
    "many_responses_at_once": DAEMON,
    "response_in_tiny_pieces": DAEMON,
    "malformed_requests": DAEMON,
    "smuggled_requests": DAEMON,
    "large_heads": DAEMON,
    "slow_response": DAEMON,
    "idle_connections": DAEMON,
    "closing_in_the_middle": DAEMON,
    "forged_error_types": DAEMON,
    # The AWS endpoint.
    "functions_of_another_account": DAEMON,
    "downloads_without_a_link": DAEMON,
    "paths_of_the_endpoint": DAEMON,
    "large_bodies": DAEMON,
    # Logs.
    "flood_of_output": DAEMON,
    "flood_over_many_events": DAEMON,
    "endless_line": DAEMON,
    "binary_output": DAEMON,
    "commands_to_a_terminal": DAEMON,
    "forged_log_lines": DAEMON,
    # Packages and names.
    "malicious_package": DAEMON,
    "size_that_lies": DAEMON,
    "odd_package_stays_inside": DAEMON,
    "archive_with_a_million_entries": DAEMON,
    "names_with_paths": DAEMON,
    "handlers_with_paths": SANDBOX - _stages(users=["rootless"]),
    # What is left.
    "aftermath_processes": EVERYWHERE,
    "aftermath_files": EVERYWHERE,
    "aftermath_memory": EVERYWHERE,
    "aftermath_mounts_and_cgroups": EVERYWHERE,
    "aftermath_of_the_stop": EVERYWHERE,
}
