package testserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

const (
	installPostgres = "install it with `apt-get install -y postgresql` (Debian) or `brew install postgresql` (macOS), or set POSTGRES_URL"
	// superuser owns the server's databases.
	superuser = "postgres"
)

// PostgresDatabase is an empty database of one test.
type PostgresDatabase struct {
	// URL is its address as postgres://user@host:port/name, with whatever else
	// POSTGRES_URL has.
	URL string
	// Addr is the server's host:port.
	Addr string
	// Name is the database's name.
	Name string
}

// Postgres makes a database for this test, dropped at its end, on the server of
// POSTGRES_URL (whose user must be allowed to create databases), else on one
// started for all tests of this binary.
func Postgres(t testing.TB) *PostgresDatabase {
	t.Helper()
	shared.require(t)
	server, err := sharedPostgres()
	if err != nil {
		t.Fatal("testserver: postgres:", err)
	}
	name := Name(t)
	if err := execute(server, "CREATE DATABASE "+name); err != nil {
		t.Fatal("testserver: postgres:", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error("testserver: postgres:", err)
		}
	})
	of := *server
	of.Path = "/" + name
	return &PostgresDatabase{URL: of.String(), Addr: server.Host, Name: name}
}

var sharedPostgres = sync.OnceValues(func() (*url.URL, error) {
	if given := os.Getenv("POSTGRES_URL"); given != "" {
		server, err := url.Parse(given)
		if err != nil {
			return nil, errors.New("POSTGRES_URL is not an address: expected postgres://user@host:port/database")
		}
		return server, execute(server, "SELECT 1")
	}
	return startPostgres()
})

// startPostgres makes a cluster in a temporary folder and runs a server on it.
func startPostgres() (*url.URL, error) {
	folders := []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"}
	server, err := find("postgres", installPostgres, folders...)
	if err != nil {
		return nil, err
	}
	initdb, err := find("initdb", installPostgres, folders...)
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := folder(owner)
	if err != nil {
		return nil, err
	}
	shared.atEnd(func() error { return os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	if err := makeCluster(owner, initdb, dir, data); err != nil {
		return nil, err
	}
	return runPostgres(owner, server, data)
}

func makeCluster(owner *syscall.Credential, initdb, dir, data string) error {
	cmd := exec.Command(initdb, "--pgdata", data, "--username", superuser,
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// runPostgres turns durability off: nothing here has to survive a crash.
func runPostgres(owner *syscall.Credential, path, data string) (*url.URL, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	proc, err := start(owner, path, "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "max_connections=200", "-c", "timezone=UTC")
	if err != nil {
		return nil, err
	}
	// SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients.
	shared.atEnd(func() error { return proc.stop(syscall.SIGINT) })
	server := &url.URL{
		Scheme: "postgres", User: url.User(superuser),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + superuser,
	}
	return server, proc.await(func() error { return execute(server, "SELECT 1") })
}

// unprivileged is the user that runs the server: PostgreSQL refuses root, for
// which the package's own user is taken, else the user nobody. nil is the user
// that runs the test.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: run the tests as another user, or set POSTGRES_URL")
}

// execute runs one statement on a connection of its own.
func execute(server *url.URL, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return fmt.Errorf("connect to %s: %w", server.Host, err)
	}
	defer conn.Close(ctx)
	if _, err = conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", firstWords(statement), err)
	}
	return nil
}

func firstWords(statement string) string {
	return strings.Join(strings.Fields(statement)[:2], " ")
}
