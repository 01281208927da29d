package messagedb

import (
	"errors"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/observatory-go/observatory/engine/eventstore"
)

// The SQLSTATEs that have a meaning here.
const (
	raised                = "P0001"
	undefinedFunction     = "42883"
	undefinedTable        = "42P01"
	invalidSchema         = "3F000"
	insufficientPrivilege = "42501"
	uniqueViolation       = "23505"
	lockNotAvailable      = "55P03"
)

// codeOf is the SQLSTATE of an error; "" where the server did not give one.
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

var wrongVersion = regexp.MustCompile(`^Wrong expected version: (-?\d+) \(Stream: (.*), Stream Version: (-?\d+)\)$`)

// conflict is the error of write_message as what it says: Message-DB raises a
// version conflict as text.
func conflict(err error) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != raised {
		return err
	}
	m := wrongVersion.FindStringSubmatch(e.Message)
	if m == nil {
		return err
	}
	expected, _ := strconv.ParseInt(m[1], 10, 64)
	actual, _ := strconv.ParseInt(m[3], 10, 64)
	return &eventstore.ExpectedVersionError{Stream: m[2], Expected: expected, Actual: actual}
}
