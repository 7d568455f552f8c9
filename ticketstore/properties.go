package ticketstore

// Properties: values that a host keeps for the store as a whole (rule 13).

import (
	"context"
	"strings"
)

// PropertiesService is the entry in Description.Services of a backend that keeps Properties.
const PropertiesService = "properties"

// Limits of Properties.
const (
	// MaxPropertyName bounds the name of a property, in bytes.
	MaxPropertyName = 64
	// MaxProperty bounds the value of a property, in bytes.
	MaxProperty = 4 << 10
	// MaxProperties bounds the number of properties in a store.
	MaxProperties = 64
)

// Properties are small named values that a host keeps in a store, such as its issuer (rule 13). They belong
// to the store as a whole and move with it. Every method may return ErrUnavailable, and ErrInvalid for a
// request that is itself invalid.
type Properties interface {
	// Property returns the value of a property, or nil if there is none with that name.
	Property(ctx context.Context, name string) ([]byte, error)

	// SetProperty replaces the value old (nil for none) by value, durably before it returns; an empty value
	// removes the property. It returns ErrConflict if the current value is neither old nor value, so if two
	// hosts write different values one of them fails. A repeated call succeeds, and so do two hosts that
	// write the same value: to elect one winner, each attempt must write a unique value. Exceeding
	// MaxProperties is ErrInvalid.
	SetProperty(ctx context.Context, name string, old, value []byte) error
}

const propertyLetters = "abcdefghijklmnopqrstuvwxyz_"

// CheckPropertyName returns an error if a name is empty, longer than MaxPropertyName, or contains characters
// other than lower case letters and underscores.
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

// CheckProperty returns an error that names the field at fault if a store must not keep the property.
func CheckProperty(name string, value []byte) error {
	if err := CheckPropertyName(name); err != nil {
		return err
	}
	if len(value) > MaxProperty {
		return Invalidf("value", "is longer than %d bytes", MaxProperty)
	}
	return nil
}

// TooManyProperties returns the error of a store that already has MaxProperties properties.
func TooManyProperties() error {
	return Invalidf("name", "is that of one property more than the %d that a store has at most",
		MaxProperties)
}
