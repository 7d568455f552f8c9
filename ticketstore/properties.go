package ticketstore

// Properties: values that a host keeps with the store as a whole (rule 13).

import (
	"context"
	"strings"
)

// PropertiesService is the name under which a backend's description says that it keeps Properties.
const PropertiesService = "properties"

// Limits of Properties.
const (
	// MaxPropertyName bounds the name of a property, in bytes.
	MaxPropertyName = 64
	// MaxProperty bounds its value, in bytes.
	MaxProperty = 4 << 10
	// MaxProperties bounds how many of them a store has.
	MaxProperties = 64
)

// Properties are small named values that a host keeps in a store, such as its issuer (rule 13). They belong
// to the store as a whole, and move with it. Every method may return ErrUnavailable, and ErrInvalid for a
// request that is wrong in itself.
type Properties interface {
	// Property returns the value of a property, nil where there is none of that name.
	Property(ctx context.Context, name string) ([]byte, error)

	// SetProperty replaces the value old, nil for none, by another, durably before it returns; an empty one
	// removes the property. Where the present value is neither old nor value it is ErrConflict, so that of
	// two hosts that write different values one fails. A repeated call succeeds, and so do two hosts that
	// write the same value: where one of them alone may win, each attempt writes a value of its own. One
	// property more than MaxProperties is ErrInvalid.
	SetProperty(ctx context.Context, name string, old, value []byte) error
}

const propertyLetters = "abcdefghijklmnopqrstuvwxyz_"

// CheckPropertyName refuses a name that is empty, longer than MaxPropertyName or has characters other than
// lower case letters and underscores.
func CheckPropertyName(name string) error {
	switch {
	case name == "":
		return Invalidf("name", "is empty")
	case len(name) > MaxPropertyName:
		return Invalidf("name", "is longer than %d bytes", MaxPropertyName)
	case strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(propertyLetters, r) }) >= 0:
		return Invalidf("name", "has something else in it than a to z and _")
	}
	return nil
}

// CheckProperty refuses a property that a store must not keep, naming the field at fault.
func CheckProperty(name string, value []byte) error {
	if err := CheckPropertyName(name); err != nil {
		return err
	}
	if len(value) > MaxProperty {
		return Invalidf("value", "is longer than %d bytes", MaxProperty)
	}
	return nil
}

// TooManyProperties returns what a store answers that has MaxProperties of them already.
func TooManyProperties() error {
	return Invalidf("name", "is that of one property more than the %d that a store has at most",
		MaxProperties)
}
