// Command observatory runs message handlers over Redis Streams and serves
// Prometheus metrics beside them.
package main

import (
	"os"

	"github.com/observatory-go/observatory/cmd/observatory/internal/command"
)

func main() { os.Exit(command.Main()) }
