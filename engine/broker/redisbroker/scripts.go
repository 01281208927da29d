package redisbroker

import (
	_ "embed" // the scripts stand in files of their own

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed scripts/attempt.lua
	attemptSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/park.lua
	parkSource string
	//go:embed scripts/adopt.lua
	adoptSource string

	attemptScript = redis.NewScript(attemptSource)
	releaseScript = redis.NewScript(releaseSource)
	parkScript    = redis.NewScript(parkSource)
	adoptScript   = redis.NewScript(adoptSource)
)
