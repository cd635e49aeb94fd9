// A container runtime that asks for no capability that this machine lacks, then is runc.
//
// A privileged container asks for all capabilities. Where the machine's own bounding set lacks one, as in many
// a virtual machine or container, runc refuses ("unable to apply caps"). Docker and a kind node's containerd run
// this as their runtime: what is missing is taken out of a container's configuration, and out of that of every
// program started in it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// In the order of their numbers in linux/capability.h.
const names = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`

// available returns the capabilities of the bounding set in the text of a /proc/PID/status.
func available(status string) (map[string]bool, error) {
	for line := range strings.Lines(status) {
		if mask, is := strings.CutPrefix(line, "CapBnd:"); is {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			kept := map[string]bool{}
			for number, name := range strings.Fields(names) {
				kept["CAP_"+name] = bits>>number&1 == 1
			}
			return kept, err
		}
	}
	return nil, fmt.Errorf("/proc/self/status has no CapBnd")
}

// filter takes what is not in kept out of all sets of an OCI process.
func filter(process map[string]any, kept map[string]bool) {
	sets, _ := process["capabilities"].(map[string]any)
	for set, listed := range sets {
		entries, _ := listed.([]any)
		remaining := []any{}
		for _, entry := range entries {
			if name, _ := entry.(string); kept[name] {
				remaining = append(remaining, entry)
			}
		}
		sets[set] = remaining
	}
}

// rewrite changes a JSON file in place; numbers keep all their digits.
func rewrite(path string, change func(map[string]any)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	document := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(document)
	if text, err = json.Marshal(document); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// value returns the value of the first of the flags that is set, as `--flag value` or `--flag=value`.
func value(arguments []string, flags ...string) string {
	for index, word := range arguments {
		name, text, equals := strings.Cut(word, "=")
		for _, flag := range flags {
			if name == flag && equals {
				return text
			}
			if name == flag && index+1 < len(arguments) {
				return arguments[index+1]
			}
		}
	}
	return ""
}

func has(arguments []string, word string) bool {
	for _, argument := range arguments {
		if argument == word {
			return true
		}
	}
	return false
}

func prepare(arguments []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	kept, err := available(string(status))
	if err != nil {
		return err
	}
	if has(arguments, "create") || has(arguments, "run") {
		return rewrite(filepath.Join(value(arguments, "--bundle", "-b"), "config.json"), func(config map[string]any) {
			process, _ := config["process"].(map[string]any)
			filter(process, kept)
		})
	}
	if process := value(arguments, "--process", "-p"); has(arguments, "exec") && process != "" {
		return rewrite(process, func(process map[string]any) { filter(process, kept) })
	}
	return nil
}

func main() {
	err := prepare(os.Args[1:])
	runc, missing := exec.LookPath("runc")
	if err == nil {
		err = missing
	}
	if err == nil {
		err = syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "runtime:", err)
	os.Exit(1)
}
