package interop

import (
	"os"
	"testing"

	_ "github.com/observatory-go/observatory/engine/adapters" // the binary under test has it: a result is not kept when it changes
	"github.com/observatory-go/observatory/engine/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	_ = os.RemoveAll(binaryFolder)
	os.Exit(code)
}
