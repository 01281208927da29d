package e2e

import (
	"os"
	"testing"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
