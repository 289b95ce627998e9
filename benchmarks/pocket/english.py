"""English phrases of the corpus: what a concept is made of and what a document says about it."""

from __future__ import annotations

from words import phrases

PRODUCTS = phrases(
    """app|mobile app|web app|platform|portal|dashboard|tool|system|service|planner|tracker
marketplace|booking site|register|logbook|assistant|kiosk|chatbot|scheduler|catalog|web portal
phone app|tablet app|website|internal tool|online store|reporting tool|inventory system
control panel|directory|workspace|calculator|notification service|data hub|training portal
simulator|map|library|checklist app|ticketing system|information screen|queue system|wallet
loyalty program|exchange|learning app|field app|reservation system|monitoring service"""
)

ACTORS = phrases(
    """customers|nurses|farmers|teachers|parents|drivers|managers|volunteers|students|tenants
technicians|buyers|suppliers|inspectors|patients|members|guests|clerks|doctors|planners|citizens
owners|analysts|engineers|cooks|coaches|players|librarians|researchers|residents|sellers|visitors
dispatchers|pharmacists|auditors|recruiters|employees|operators|brokers|curators|fishermen
gardeners|mechanics|lawyers|architects|photographers|musicians|shop owners|site managers
crew members|warehouse staff|ward nurses|small growers|night guards|team leaders|field workers
school secretaries|lab assistants|event hosts|dog walkers|cyclists|travelers|donors|beekeepers
plumbers|electricians|tutors|bakers|veterinarians|notaries|social workers"""
)

VERBS = phrases(
    """track|book|order|share|review|approve|record|report|compare|schedule|plan|request|rent
sell|buy|search|scan|print|pay|cancel|reserve|monitor|measure|assign|register|upload|download
export|import|update|check|confirm|find|sort|label|inspect|count|collect|return|repair|rate
archive|sign|send|receive|follow|publish|edit|translate|predict|map|log|manage|organize|trade
match|verify|photograph|calculate|store|lend|borrow|coordinate|announce|prepare|deliver"""
)

OBJECTS = phrases(
    """orders|invoices|bookings|tickets|deliveries|spare parts|shifts|lessons|recipes|contracts
photos|readings|samples|vehicles|rooms|tools|payments|complaints|permits|routes|repairs|claims
appointments|prescriptions|vaccines|harvests|pallets|containers|seats|grades|certificates|meals
donations|books|leases|meters|forecasts|prices|stock levels|work orders|test results|meter readings
maintenance visits|delivery slots|safety checks|training hours|expense reports|crop yields
patient transfers|parking spaces|lost items|membership fees|sensor data|water levels|air quality
travel costs|product reviews|job offers|quality checks|time sheets|customer notes|boat trips
battery levels|machine faults|guest lists|seed orders|waste pickups|lab samples|old instruments
energy use|working hours|allergy notes|school trips|insurance claims|delivery notes"""
)

NOUNS = phrases(
    """order|invoice|ticket|room|route|harvest|meter|boat|garden|kitchen|school|clinic|engine|wine
cheese|bread|wool|timber|glass|paper|book|music|theater|museum|train|bus|bicycle|airport|harbor
bridge|tunnel|solar|wind|water|gas|heat|waste|soil|seed|honey|fish|horse|dog|pet|child|senior
dental|eye|blood|drug|vaccine|stock|loan|tax|rent|claim|legal|film|game|sport|ski|dance|yoga
coffee|tea|beer|flower|tree|stone|steel|paint|furniture|carpet|shoe|jewel|watch|camera|drone
satellite|sensor|battery|cable|network|server|weather|snow|flood|fire|rescue|border|port"""
)

ORGS = phrases(
    """clinics|schools|farms|hotels|restaurants|workshops|museums|factories|warehouses|hospitals
city councils|law firms|small shops|sports clubs|housing cooperatives|ports|airlines|vineyards
bakeries|garages|laboratories|construction sites|libraries|charities|mountain huts|car dealers
insurance brokers|logistics firms|film crews|dairy farms|print shops|call centers|pharmacies
fish markets|repair cafes|kindergartens|theaters|rural towns|energy utilities|bike shops"""
)

EXTRAS = phrases(
    """offline mode|alerts by text message|a weekly report by email|photos of every step
reminders one day before|support for two languages|maps of the area|online payment
a shared calendar|voice notes|barcode scanning|automatic backups|a public status page
simple statistics|step by step guidance|digital signatures|price comparison|live positions
large print for older users|warnings when limits are passed|a printable summary|chat support
export to spreadsheets|access for external auditors|a history of all changes"""
)

PROBLEMS = phrases(
    """today everything is kept on paper|spreadsheets get lost|calls take too long
nobody knows who is responsible|mistakes are found too late|people wait in line for hours
the old software is no longer supported|information arrives too late|two systems do not agree
errors cost money every month|the phone rings all day|papers are lost on the way"""
)

CONCEPTS = phrases(
    """A {product} for {org} that lets {actor} {a1} and {a2}.
A {product} that helps {actor} {a1}, {a2} and {a3}.
{Actor} need a {product} to {a1} and {a2}, with {extra}.
{Product} for {org} where {actor} can {a1} while {actor2} {a2}.
A {product} with {extra} so that {actor} can {a1} and {actor2} can {a2}.
We want {actor} in {org} to {a1} without phone calls, and {actor2} to {a2}.
Build a {product} for {actor} to {a1}. It should also {a2} and offer {extra}.
Help {actor} of {org} {a1} because {problem}.
{Org} want to {a1} and {a2}; {problem}.
A {adj} {product} to {a1}, {a2} and {a3} across {org}.
{Actor} at {org} {a1} by hand and {problem}, so a {product} should let them {a2}.
A {noun} {product} connecting {actor} who {a1} with {actor2} who {a2}.
An online service where {actor} {a1}, and {actor2} {a2} with {extra}.
A {noun} {noun2} {product} for {actor}, with {extra} and {extra2}.
Let {actor} {a1} from their phones, and give {actor2} a way to {a2}.
When {actor} {a1}, {actor2} should be able to {a2} in the same {product}.
The {org} of our region need a {noun} {product} that can {a1} and {a2}.
A {product} to manage {o1}, {o2} and {o3} in {org}.
Replace paper lists in {org} with a {product} that tracks {o1} and warns {actor} about {o2}.
A subscription {product} offering {o1} and {o2} to {actor}, including {extra}.
A {product} named {name} that lets {actor} {a1} and {a2}.
{Name} is a {noun} {product} for {actor} to {a1}.
{Actor} lose time because {problem}. A {product} should help them {a1} and {a2}.
A way for {actor} to {a1}, for {gloss}.
A {product} about {gloss}, where {actor} {a1}.
{Actor} need a {noun} {product} to {a1} for {actor2} so that nobody has to {a2}.
{Actor} want to {a1} before {actor2} {a2}.
{Product} to {a1}, so {actor} no longer {a2} by phone.
A {noun} and {noun2} {product} that shows {o1} next to {o2} for {actor}.
Every month {actor} {a1}. The new {product} lets {actor2} {a2} at the same time.
{Actor} and {actor2} share {o1}; a {product} should tell both when {problem}.
{O1} and {o2} for {actor} in one {noun} {product}, with {extra}.
{Actor} {a1} and {a2}.
{Actor} {a1} and get a warning when {o2} are late.
{Actor} {a1}, {a2} and {a3} with one {product}.
The {noun} {noun2} wants {actor} to {a1} themselves when {problem}.
An app that helps {adj} {actor} {a1} and {a2}.
{Actor} see {o1}, {o2} and {o3} on one {noun} map.
{Actor} waiting for {o1} should see {o2} and {a1}.
A {noun} {product} that reminds {actor} to {a1} every {noun2}.
Let {actor} {a1} and see when {o2} were last checked, for {gloss}.
{Actor} record {o1} and {o2} for {gloss} in the field.
Software for {org} that keeps {o1} and {o2} in one place for {actor} and {actor2}."""
)

# What a concept may go on with; each names something that the concept has not said yet.
TAILS = phrases(
    """, and {actor2} {a3}.
, while {actor2} {a3} at the same time.
, so that {actor2} can {a3}.
, and warns {actor2} when {o3} are missing.
, with {o3} and {extra2} on one page.
. {Actor2} should be able to {a3}.
. {Actor2} of {org} should {a3} without asking anybody.
. It should also {a3} and show {o2} to {actor2}.
. Today {problem}.
. {Org} want to see {o3} every week.
. {Actor2} {a3}, and {org} {a2} once a month.
. Nobody should have to {a2} and {a3} by hand.
. Each {noun2} lists {o3} next to {o2}.
, before {actor2} {a3} for {gloss}."""
)

TITLES = phrases(
    """{Product} for {actor}|{O1} {product} for {org}|{Noun} {product} for {actor}
{A1} with a {product}|{Product} to {a1}|{O1} and {o2} {product}|{O1} for {actor}
{Org} {product} for {o1}|{Product} for {actor} to {a1}|{A1} and {o2}"""
)

INTRO = phrases(
    """A {product} that lets {actor} {a1} and {a2}|This {product} helps {actor} {a1} and {a2}
{Actor} use the {product} to {a1} and {a2}|The {product} gives {actor} one place to {a1} and {a2}
With this {product} {actor} can {a1} and {a2}|A {product} for {actor} who {a1} and {a2}
The {product} serves {actor} in {org}, who {a1} and {a2}"""
)
MORE = phrases(
    """It also offers {extra} and keeps {o1} in one place
{Actor2} see the same {o1} at any time, so that {actor} save time
It serves {org} and works with {o2} and {extra}|{Actor2} can {a3}, and {extra} is included
The goal is that {actor} spend less time on {o1} and make fewer mistakes
It replaces paper and phone calls in {org}, since {problem}
Both {actor} and {actor2} work with current {o1} and {o2}"""
)
SHORT_DESCRIPTIONS = phrases(
    """A {product} for {actor}|Helps {actor} {a1}|A {noun} {product}
Lets {actor} {a1}|{Product} for {org}|Software to {a1}"""
)

FUNCTIONAL = phrases(
    """The system lets {actor} {a1} in a few steps|{Actor} can {a1} from a phone or a browser
{Actor} {a1} and see the result at once|The {product} shows {actor2} all {o1} on one screen
{Actor2} can {a2} and add a short note|The system sends {actor} a message when {o1} change
{Actor} search {o1} by date, name or place|{Actor2} {a2} and the system records who did it and when
The system warns {actor2} when {o2} are missing or late|The {product} offers {extra} for {actor}
{Actor} correct or cancel {o1} until they are confirmed|The system keeps a history of {o1} and {o2}
{Actor2} export {o1} as a spreadsheet for {org}|{Actor} attach photos and comments to {o2}
The {product} prints a summary of {o1} for {actor2}|{Actor} sign in with their own account and role
The system checks {o1} for errors before {actor} {a2}|{Actor2} can {a3} at any time of the day
The system assigns {o1} to free {actor2} and shows the order on a list
{Actor} filter {o2} by status and sort them by date
The system reminds {actor} one day before {o1} are due
A manager approves {o1} before {actor} {a2}|{Actor} {a3} even when {problem}
The {product} compares {o1} with {o2} and marks the differences
The system imports {o2} from a file once a day
Each {noun} has a page with its {o1}|{Actor2} see a chart of {o1} for each week and month
The {product} covers {gloss}|{Actor} can {a1} without help from {actor2}"""
)

QUALITY = phrases(
    """Pages with {o1} open in less than {n} seconds for {p} percent of requests
The {product} is available {q} percent of each month|Up to {k} {actor} can work at the same time
A new user learns to {a1} in less than {m} minutes
Personal data of {actor} is encrypted at rest and in transit
The {product} works on screens from {n} inches and on slow networks
Data about {o1} is backed up every {h} hours and restored within {n} hours
The screens meet WCAG 2.1 level AA for {actor}|Messages reach {actor2} within {m} seconds
{O1} entered offline are stored for up to {h} hours and sent later without loss
Only signed in {actor2} see {o2}, and each access is logged for {m} months
The system handles {k} {o1} per day without a visible delay
After a failure the service is back within {m} minutes
Search over {k} {o2} answers within {n} seconds
The app uses less than {m} megabytes of data per month
Nine out of ten {actor} finish the task at the first try
The service passes a yearly security test without open critical findings
Response time stays below {n} seconds while {k} {actor} {a1}"""
)

LIMITS = phrases(
    """The budget for the first year is {k} thousand euros
The first version must be ready within {m} weeks
The {product} must run on the phones that {actor} already own
Data of {actor} must stay inside the European Union
The existing {noun} database of {org} cannot be changed
Only open source components may be used for {o1}
The team has {n} developers and one designer|{Actor} receive no more than {n} hours of training
The law requires that {o1} are kept for {n} years|No new hardware may be bought for {org}
The {product} must work with the current accounting software
Payments go through the provider already used by {org}
The rollout starts with {n} pilot {org}|{Actor2} must approve all texts before publication
Internet access in {org} is limited to {n} megabits per second
The contract with the current supplier ends in {m} months
The rules of data protection apply to {o2}|The {product} is operated by the own staff of {org}"""
)

PRIORITIES = ("High", "Medium", "Low")
DEFAULTS = {
    "verb": ["manage", "see", "check", "record", "find"],
    "actor": ["users", "staff members", "the people in charge", "employees"],
    "product": ["service", "system", "tool", "application", "product"],
}
