package portalsim

import "strings"

func (p *Portal) getSelf(c *call) (any, error) {
	return p.fullPersonDTO(p.people[c.user]), nil
}

func (p *Portal) getPerson(c *call) (any, error) {
	wanted := c.param("id")
	for id, u := range p.people {
		if strings.EqualFold(string(id), wanted) || strings.EqualFold(u.UserName, wanted) {
			return p.fullPersonDTO(u), nil
		}
	}
	return nil, notFound("The user could not be found")
}

// getOwnKey describes the key the call was made with; any scope is enough.
func (p *Portal) getOwnKey(c *call) (any, error) {
	o := dto{
		"id": c.key.id, "name": c.key.name, "key": "sk-***" + c.key.key[len(c.key.key)-4:],
		"permissions": append([]string{}, c.key.scopes...), "isActive": true,
		"createOn": p.local(c.key.created), "createBy": p.personDTO(c.key.owner), "lastUsed": p.local(c.key.lastUsed),
	}
	if !c.key.expires.IsZero() {
		o["expiresAt"] = p.local(c.key.expires)
	}
	return o, nil
}

// getSettings needs no key, and answers on unpaid and suspended portals too.
func (p *Portal) getSettings(*call) (any, error) {
	return dto{
		"timezone": "UTC", "utcOffset": p.opts.UTCOffset.String(), "culture": "en-US",
		"docSpace": true, "standalone": true, "tenantStatus": 0, "tenantAlias": "portal",
	}, nil
}

// getPortal tells other people than admins nothing but the tenant's number.
func (p *Portal) getPortal(c *call) (any, error) {
	o := dto{"tenantId": p.opts.TenantID}
	if p.isAdmin(c.user) {
		o["tenantAlias"], o["name"], o["status"], o["tenantDomain"] = "portal", "DocSpace", 0, strings.TrimPrefix(p.baseURL, "https://")
	}
	return o, nil
}
