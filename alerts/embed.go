// Package alerts holds the alert rules that ship with an Observatory, their
// promtool tests, and the runbook that every page links to.
package alerts

import "embed"

// Files are the rules (observatory.rules.yaml), for programs that install them,
// and the runbook their pages link to (runbook.md).
//
//go:embed observatory.rules.yaml runbook.md
var Files embed.FS
