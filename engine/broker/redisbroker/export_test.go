package redisbroker

import "time"

// SetGoneAfter has consumers with nothing pending deleted sooner.
func SetGoneAfter(b *Broker, d time.Duration) { b.goneAfter = d }
