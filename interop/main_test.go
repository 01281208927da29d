package interop

import (
	"os"
	"testing"

	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
