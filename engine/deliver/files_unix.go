//go:build unix

package deliver

import (
	"fmt"
	"syscall"
)

// filesLimit is how many files this process may have open, in words.
func filesLimit() string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return "its limit"
	}
	return fmt.Sprintf("its limit of %d", limit.Cur)
}
