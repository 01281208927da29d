//go:build !unix

package listen

import "math"

// descriptors is how many descriptors the process may have: not limited here.
func descriptors() int { return math.MaxInt32 }
