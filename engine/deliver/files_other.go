//go:build !unix

package deliver

// filesLimit is how many files this process may have open, in words.
func filesLimit() string { return "its limit" }
