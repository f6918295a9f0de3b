//go:build peers

// Package peers names the Go programs that end-to-end tests talk to; script/setup builds them.
package peers

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
