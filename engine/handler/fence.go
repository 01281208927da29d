package handler

import "context"

type fenceKey struct{}

// WithFence returns a context from which [Fence] reads the number.
func WithFence(ctx context.Context, number int64) context.Context {
	return context.WithValue(ctx, fenceKey{}, number)
}

// Fence is the number of the ownership under which a handler was called, where one
// process at a time runs its subscription: a later owner has a greater one. It is 0
// where there is no such ownership. What is stored with it can refuse a process that
// was suspended, and went on after another had taken over.
func Fence(ctx context.Context) int64 {
	number, _ := ctx.Value(fenceKey{}).(int64)
	return number
}
