//go:build !linux

package serve

import "runtime/debug"

// releaseStartup gives back the garbage of compiling rules and descriptors.
func releaseStartup() error {
	debug.FreeOSMemory()
	return nil
}
