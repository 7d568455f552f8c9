package wire

// Conversions of the hosts of a shared store.

import (
	"cmp"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromHosts returns the messages of hosts.
func FromHosts(hosts []ticketstore.Host) (messages []*pb.Host) {
	for _, host := range hosts {
		messages = append(messages, &pb.Host{
			Name: host.Name, Version: host.Version, Beat: records.Nanos(host.Beat),
			Joined: records.Nanos(host.Joined),
		})
	}
	return messages
}

// ToHosts is the reverse of FromHosts. Its error is a *ticketstore.FieldError that names the field.
func ToHosts(field string, messages []*pb.Host) (hosts []ticketstore.Host, err error) {
	if len(messages) > ticketstore.MaxHosts {
		return nil, ticketstore.Invalidf(field, "are %d, more than %d", len(messages), ticketstore.MaxHosts)
	}
	for _, m := range messages {
		host := ticketstore.Host{
			Name: m.GetName(), Version: m.GetVersion(), Beat: records.Moment(m.GetBeat()),
			Joined: records.Moment(m.GetJoined()),
		}
		err := cmp.Or(ticketstore.CheckID(field, host.Name),
			ticketstore.CheckText(field, host.Version, ticketstore.MaxText))
		if err == nil && host.Beat.IsZero() {
			err = ticketstore.Invalidf(field, "have one without a beat")
		}
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}
