package engine_test

import (
	"os"
	"testing"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(asReplica) != "" {
		runReplica()
		return
	}
	os.Exit(testserver.Main(m))
}
