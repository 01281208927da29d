// Package testserver gives tests real servers: the one that the environment
// names (REDIS_URL, POSTGRES_URL), else one of its own, started from the PATH on
// a free loopback port in a temporary folder, once per test binary, and stopped
// at its end. A server that is not installed fails the test with the line that
// installs it; nothing is skipped.
//
// A package that uses it has this TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
//
// Shared servers are shared by tests that run side by side, so a test takes its
// keys from [Name], and a test that stops, pauses or flushes its server starts
// one of its own with [StartRedis], [StartRedisCluster] or [StartRedisSentinel].
package testserver
