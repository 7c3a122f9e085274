-- What the server says of itself, for `jobcast doctor`. INFO is allowed where CONFIG is not: on managed servers.
-- Reply: {INFO as text, its clock in epoch ms}
return {redis.call('INFO'), clock()}
