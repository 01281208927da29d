// Package grafana holds the Grafana dashboards that ship with an Observatory.
// They are built by the module dashboards/build; change them there.
package grafana

import "embed"

// Files are the dashboards, one JSON file each, for programs that provision
// them.
//
//go:embed *.json
var Files embed.FS
