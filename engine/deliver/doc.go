// Package deliver hands messages to applications that are not written in Go:
// over HTTP as CloudEvents ([HTTP]), or as lines of JSON on a writer ([Log]).
// Both have a Handle method that is a handler.Func.
package deliver
