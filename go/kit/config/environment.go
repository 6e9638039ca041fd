package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Refusal is a value outside its range; its text is the line that the service leaves on stderr.
type Refusal struct {
	// Variable is the name of the environment variable.
	Variable string
	// Value is what it was set to.
	Value string
	// Range is what it must be.
	Range string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s=%s: must be %s", r.Variable, r.Value, r.Range)
}

// Environment reads variables and remembers the first that was refused, so that a service reads
// all of them and asks once. A variable that is set to nothing counts as not set.
type Environment struct {
	lookup func(string) (string, bool)
	pid    int
	err    error
}

// FromProcess reads the environment of this process.
func FromProcess() *Environment { return From(os.LookupEnv, os.Getpid()) }

// From reads the environment through lookup; pid makes the default of UAIT_INSTANCE.
func From(lookup func(string) (string, bool), pid int) *Environment {
	return &Environment{lookup: lookup, pid: pid}
}

// Err is the first Refusal, or nil.
func (e *Environment) Err() error { return e.err }

// Check reads a variable of which valid must hold; allowed says in words what that is.
func (e *Environment) Check(name, otherwise, allowed string, valid func(string) bool) string {
	value, set := e.lookup(name)
	if !set || value == "" {
		return otherwise
	}
	if !valid(value) {
		if e.err == nil {
			e.err = &Refusal{Variable: name, Value: value, Range: allowed}
		}
		return otherwise
	}
	return value
}

// Match reads a variable that must match pattern as a whole.
func (e *Environment) Match(name, otherwise string, pattern Pattern) string {
	return e.Check(name, otherwise, pattern.allowed, pattern.expression.MatchString)
}

// OneOf reads a variable that must be one of values.
func (e *Environment) OneOf(name, otherwise string, values ...string) string {
	return e.Check(name, otherwise, strings.Join(values, ", "), func(v string) bool { return slices.Contains(values, v) })
}

// Int reads a whole number between least and most.
func (e *Environment) Int(name string, otherwise, least, most int) int {
	number := otherwise
	e.Check(name, "", fmt.Sprintf("%d to %d", least, most), func(v string) bool {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return false
		}
		number = n
		return true
	})
	return number
}

// Millis reads a duration given in whole milliseconds.
func (e *Environment) Millis(name string, otherwise, least, most int) time.Duration {
	return time.Duration(e.Int(name, otherwise, least, most)) * time.Millisecond
}

// Float reads a number between least and most.
func (e *Environment) Float(name string, otherwise, least, most float64) float64 {
	number := otherwise
	e.Check(name, "", fmt.Sprintf("%g to %g", least, most), func(v string) bool {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(f) || f < least || f > most {
			return false
		}
		number = f
		return true
	})
	return number
}

// Pattern is a regular expression together with how a person reads it.
type Pattern struct {
	allowed    string
	expression *regexp.Regexp
}

// NewPattern compiles expression, which must match the whole value; allowed names it in a refusal.
func NewPattern(allowed, expression string) Pattern {
	return Pattern{allowed: allowed, expression: regexp.MustCompile("^(?:" + expression + ")$")}
}

var (
	serviceName  = NewPattern("[a-z][a-z0-9-]{0,62}", "[a-z][a-z0-9-]{0,62}")
	instanceName = NewPattern("1 to 128 of [A-Za-z0-9._-]", "[A-Za-z0-9._-]{1,128}")
)

func isIP(v string) bool {
	_, err := netip.ParseAddr(v)
	return err == nil
}

func isHostPort(v string) bool {
	host, port, err := net.SplitHostPort(v)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isNATSURL(v string) bool {
	address, ok := strings.CutPrefix(v, "nats://")
	return v == "off" || ok && isHostPort(address)
}

func isURL(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func isZone(v string) bool { return utf8.RuneCountInString(v) <= 64 }
