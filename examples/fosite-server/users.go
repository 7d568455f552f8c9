package main

// Users and their passwords.

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// passwordCost is the minimum of bcrypt: the file has the passwords in plain text, and a thousand of them
// must not delay the start. A server that stores hashes would use bcrypt.DefaultCost or more.
const passwordCost = bcrypt.MinCost

// user is an account that can sign in.
type user struct {
	username     string
	passwordHash []byte
	subject      string
	name         string
	email        string
	// extra holds fields that this server does not use.
	extra map[string]json.RawMessage
}

// users looks up users by user name and by subject.
type users struct {
	byUsername map[string]*user
	bySubject  map[string]*user
}

var errWrongPassword = errors.New("user name or password is wrong")

// dummyHash is the hash compared for unknown users, so that the response takes as long as for known ones.
var dummyHash = sync.OnceValue(func() []byte { return mustHash("nobody") })

// mustHash hashes a constant password.
func mustHash(password string) []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		panic(err) // it is longer than 72 bytes
	}
	return hash
}

// active reports whether the user is still in the file, which may change between starts.
func (u *users) active(_ context.Context, subject string) (bool, error) {
	return u.bySubject[subject] != nil, nil
}

// authenticate returns the user with that name and password.
func (u *users) authenticate(username, password string) (*user, error) {
	found, known := u.byUsername[username]
	hash := dummyHash()
	if known {
		hash = found.passwordHash
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		return nil, errWrongPassword
	}
	return found, nil
}

func (u *users) add(added *user) {
	u.byUsername[added.username] = added
	u.bySubject[added.subject] = added
}

func newUsers() *users { return &users{byUsername: map[string]*user{}, bySubject: map[string]*user{}} }

// loadUsers reads a file of users. Its error lists every problem with its position.
func loadUsers(path string) (*users, error) {
	records, p, err := readRecords(path, "users")
	if err != nil {
		return nil, err
	}
	loaded, usernames, subjects := newUsers(), unique{}, unique{}
	for _, r := range records {
		u := userOf(p, r)
		usernames.check(p, r, "username", u.username)
		subjects.check(p, r, "subject", u.subject)
		loaded.add(u)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return loaded, nil
}

func userOf(p *problems, r record) *user {
	u := &user{
		username: textField(p, r, "username"),
		subject:  textField(p, r, "subject"),
		name:     textField(p, r, "name"),
		email:    textField(p, r, "email"),
	}
	password := textField(p, r, "password")
	u.extra = r.fields
	if err := ticketstore.CheckID("username", u.username); err != nil {
		p.addf(r, "username", "%s", problemOf(err))
	}
	if err := ticketstore.CheckID("subject", u.subject); err != nil {
		p.addf(r, "subject", "%s", problemOf(err))
	}
	if err := ticketstore.CheckText("name", u.name, ticketstore.MaxText); err != nil {
		p.addf(r, "name", "%s", problemOf(err))
	}
	var err error
	switch {
	case password == "":
		p.addf(r, "password", "is empty")
	case len(password) > 72:
		p.addf(r, "password", "is longer than 72 bytes")
	default:
		if u.passwordHash, err = bcrypt.GenerateFromPassword([]byte(password), passwordCost); err != nil {
			p.addf(r, "password", "cannot be hashed: %v", err)
		}
	}
	return u
}
