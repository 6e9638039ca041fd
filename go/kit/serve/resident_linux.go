package serve

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// releaseStartup gives back the memory that only starting needed: the garbage of compiling rules and descriptors, and the pages of the
// executable that ran once. They stay in the page cache, from where the kernel maps again what is used (decision 0023).
func releaseStartup() error {
	debug.FreeOSMemory()
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	// Mappings are collected first: releasing them changes what is being read.
	var clean []mapping
	var current mapping
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if header, ok := parseMapping(line); ok {
			current = header
		}
		// A mapping without anonymous pages holds nothing but what is in the file.
		if current.path == executable && !current.writable && strings.Join(strings.Fields(line), " ") == "Anonymous: 0 kB" {
			clean = append(clean, current)
		}
	}
	for _, m := range clean {
		if _, _, failed := syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED); failed != 0 {
			return fmt.Errorf("madvise %s: %w", m.path, failed)
		}
	}
	return nil
}

// mapping is the head of an entry of /proc/self/smaps (proc_pid_smaps(5)).
type mapping struct {
	start, end uintptr
	writable   bool
	path       string
}

func parseMapping(line string) (m mapping, ok bool) {
	var permissions, offset, device string
	var inode uint64
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %d", &m.start, &m.end, &permissions, &offset, &device, &inode); err != nil {
		return mapping{}, false
	}
	if at := strings.IndexByte(line, '/'); at >= 0 {
		m.path = line[at:]
	}
	m.writable = strings.Contains(permissions, "w")
	return m, true
}
