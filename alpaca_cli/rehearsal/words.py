"""The people, places, things and occasions that the rehearsal teacher's tasks are set among.

Every list is our own, ASCII, free of digits, weekdays, months and number words (so that the numbers of an instruction
are those of its question), and free of the words for drawings and recordings that task rules commonly refuse.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(";"))


WOMEN = _words("""
    Ada Adele Agnes Aiko Alba Alice Alma Amara Amelia Amina Anika Anneli Anouk Asha Astrid Aurora Beatriz Bella Bianca
    Birgit Brenda Bridget Camila Carmen Cecilia Celia Chiara Clara Daphne Delia Dina Dora Edith Eileen Elena Elif Elsa
    Emilia Emma Erika Esther Eva Farah Fatima Fiona Flora Freya Frida Gemma Gloria Greta Hana Hanna Hatice Hazel Heidi
    Helga Hilda Ida Ilse Ines Ingrid Irene Isla Ivana Jana Jasmin Joan Johanna Josefa Judith Julia Kaja Karin Katya
    Keiko Kirsten Laila Lara Lena Leonor Lidia Lina Linnea Lotte Lucia Luisa Luna Mabel Magda Maja Malin Marta Maude
    Mei Mila Mina Miriam Moira Nadia Naomi Nela Nina Noor Nora Odette Olga Paloma Paula Pia Priya Rania Renata Rosa
    Rowena Ruth Sabine Salma Sana Sara Selma Signe Silvia Sofia Stella Svea Tamar Tanja Tessa Thea Tilda Ulla Ursula
    Vera Vesna Wanda Wilma Yara Yuki Zara Zeynep Zofia
""")
MEN = _words("""
    Aaron Abel Adam Ahmed Alan Albert Aldo Alvin Amir Anders Andrei Anton Aram Arne Arthur Axel Basil Bastian Benno
    Bernard Boris Bruno Caleb Carlos Casper Cedric Clive Cyril Damian Daniel David Deniz Dieter Diego Dimitri Duncan
    Edgar Edwin Eli Elias Emil Enzo Erik Ernst Esteban Ethan Fabio Felix Ferdinand Finn Florian Gareth Gavin George
    Gilbert Goran Gregor Gustav Hamid Hans Harald Harold Hassan Hector Henrik Herman Hugo Ian Idris Igor Isaac Ivan
    Ivo Jakob James Jan Javier Jens Joel Jonas Jorge Josef Julian Kaleb Karel Karim Keith Kenji Kofi Lars Laurent Leo
    Leon Lorenzo Lucas Ludwig Luis Lukas Magnus Malcolm Manuel Marco Marek Mario Martin Mateo Matthias Milan Milo
    Miro Mohamed Morten Nathan Niels Nikolai Nils Noah Olaf Oliver Omar Oscar Otto Pablo Patrick Paul Pavel Pedro Per
    Peter Philip Piotr Quentin Rafael Ralf Ramon Rashid Ravi Rene Roberto Roland Ruben Rufus Samir Samuel Sandro
    Sergio Simon Stefan Sven Tariq Theo Tomas Tobias Ulrich Umar Victor Viktor Vincent Walter Werner Xavier Yannick
    Yusuf Zoltan
""")
TOWNS = _words("""
    Aalborg Aarhus Aberdeen Adelaide Agadir Ankara Antwerp Arles Arusha Augsburg Austin Avignon Basel Bergen Bilbao
    Bodrum Bologna Boston Brno Bremen Bristol Bruges Burgos Bursa Cadiz Calgary Cardiff Cebu Chania Cluj Coimbra Cork
    Cusco Dakar Darwin Delft Denver Derby Dijon Dresden Dundee Durban Essen Evora Exeter Faro Fez Florence Fresno
    Galway Gdansk Gdynia Geneva Genoa Ghent Girona Glasgow Graz Haarlem Haifa Halifax Hamburg Hanover Hobart
    Inverness Izmir Jaipur Kampot Kassel Kaunas Kiel Kobe Kochi Krakow Kumasi Kyoto Lagos Lausanne Leeds Leiden
    Leipzig Liege Lille Limerick Linz Lucca Lucerne Lund Lviv Madurai Malaga Malmo Mantua Maribor Medan Memphis
    Mombasa Montreal Mumbai Munich Murcia Mysore Nagoya Nantes Naples Narvik Nelson Odense Odessa Oporto Osaka Ostend
    Oulu Oxford Padua Parma Perth Pisa Plovdiv Poznan Pune Quebec Ravenna Rennes Rijeka Rosario Rostock Rouen Salerno
    Salzburg Sapporo Seattle Segovia Siena Sopot Split Tampere Tartu Toledo Toronto Toulouse Trento Trieste Tromso
    Turin Turku Ulm Uppsala Utrecht Valencia Varna Verona Visby Wellington Windsor Yakima Yokohama York Zadar Zurich
""")
ROLES = _phrases("""
    archivist; baker; barber; basket weaver; beekeeper; blacksmith; boat builder; bookbinder; botanist; brewer;
    bricklayer; bus driver; butcher; cabinet maker; candle maker; caretaker; carpenter; cartwright; cashier;
    cheese maker; chemist; choir leader; clerk; clockmaker; coach; cobbler; confectioner; conservator; cook;
    cooper; courier; crane operator; dairy farmer; dancer; dentist; diver; dressmaker; editor; electrician;
    engineer; falconer; farmer; ferry captain; firefighter; fishmonger; florist; forester; gardener; geologist;
    glass blower; glazier; goldsmith; greengrocer; grocer; guide; harbour master; hatter; historian; innkeeper;
    janitor; jeweller; joiner; judge; knitter; lab assistant; landlord; librarian; lifeguard; lighthouse keeper;
    locksmith; machinist; mason; mechanic; midwife; miller; milliner; miner; museum guard; nurse; orchard owner;
    painter; paper maker; pastry chef; pharmacist; pilot; plumber; porter; potter; printer; puppeteer; ranger;
    reporter; roofer; sailor; scout leader; sculptor; secretary; shepherd; shoemaker; shopkeeper; ski teacher;
    smith; soap maker; stable hand; stage manager; stonemason; storyteller; surgeon; surveyor; swimmer; tailor;
    tanner; teacher; thatcher; tiler; toy maker; trader; translator; tutor; upholsterer; usher; vet; vintner;
    waiter; warden; watchmaker; weaver; welder; wine grower; woodcarver; zookeeper
""")
TEMPERS = _words("""
    absent-minded ambitious amiable anxious apprentice bashful bright busy calm careful cautious cheerful clever curious
    devoted diligent earnest elderly energetic enthusiastic famous forgetful friendly frugal generous gentle gifted
    grumpy hopeful humble humorous impatient inventive jolly junior keen kind lively local loyal methodical modest
    nervous newly-hired observant patient playful practical proud punctual quiet reliable resourceful retired
    self-taught senior sensible shy skilful sleepy sociable solitary spirited stubborn talkative thoughtful thrifty
    tireless travelling versatile visiting weary wise witty young
""")
AUNTS = _phrases("""
    aunt; daughter; godmother; grandmother; landlady; niece; sister; sister-in-law; stepmother; mother
""")
UNCLES = _phrases("""
    brother; brother-in-law; father; godfather; grandfather; landlord; nephew; son; stepfather; uncle
""")
FRIENDS = _phrases("""
    boss; choir friend; classmate; client; colleague; cousin; employer; flatmate; former teacher; guest; lodger; mentor;
    neighbour; old friend; partner; pen friend; pupil; roommate; running partner; teammate; travel companion; workmate
""")
PLACES = _phrases("""
    abbey; allotment; almshouse; aquarium; arcade; archive; attic; bakery; ballroom; bandstand; barn; bathhouse;
    beach hut; bell tower; boathouse; bookshop; bowling alley; brewery; bus station; butterfly house; cabin;
    cafe; campsite; canteen; caravan; castle; cellar; chapel; cheese dairy; cider house; cinema; classroom;
    clinic; clubhouse; conservatory; corner shop; cottage; courtroom; courtyard; covered market; cowshed;
    creamery; day nursery; deli; depot; dockyard; dormitory; embassy; farmhouse; farmyard; ferry terminal;
    fire station; fish market; flower shop; forge; foundry; gallery; garage; gatehouse; glasshouse; granary;
    greenhouse; guesthouse; guildhall; gym; harbour office; hayloft; hostel; ice rink; inn; jetty; kiosk;
    kitchen; laboratory; laundry; library; lighthouse; lodge; lookout; mansion; marina; market hall; mill;
    monastery; mountain hut; museum; nursery; oast house; observatory; office; opera house; orangery; orchard;
    outhouse; pantry; paper mill; pavilion; pharmacy; planetarium; playground; playhouse; post office;
    printing shop; pumping station; quarry; reading room; rectory; refectory; restaurant; riding school;
    rowing club; sail loft; sawmill; schoolhouse; shed; ski hut; smithy; sports hall; stable; station; storeroom;
    studio; summerhouse; swimming pool; tannery; tavern; tea room; theatre; toll house; town hall; toy shop;
    treehouse; vestry; vineyard; waiting room; warehouse; watchtower; water mill; windmill; wine cellar;
    winter garden; woodshed; workshop; zoo
""")
AIRS = _words("""
    abandoned airy ancient bustling candlelit chilly cosy cramped crowded damp deserted draughty dusty elegant
    empty famous flooded forgotten freshly-painted gloomy grand half-finished handsome haunted hidden historic homely
    huge ivy-covered leaky little lofty lonely long-closed low modern modest narrow neat neighbouring new noisy old
    open ornate overgrown peaceful private public quaint quiet rambling red-brick refurbished rented restored rickety
    roomy rusty sheltered shuttered small snowy spacious spotless steep stone-built stylish sunlit tall tidy timbered
    tiny tranquil unheated vaulted warm well-kept whitewashed windswept wooden
""")
KEEPING = _words("""
    airing cleaning decorating dusting enlarging exploring furnishing guarding heating inspecting insulating lighting
    managing measuring  rearranging rebuilding redecorating refurbishing renovating
    repainting restoring rewiring scrubbing sketching sweeping tidying visiting weatherproofing
    whitewashing
""")
HANDLING = _words("""
    arranging assembling borrowing buying carrying checking cleaning collecting comparing counting delivering designing
    displaying donating engraving examining exchanging fetching gluing hiding hiring importing inspecting labelling
    lending loading mending moving ordering packing polishing pricing recycling repairing restoring returning
    rinsing sealing selecting selling sharing shipping sorting stacking storing sketching testing trading trimming
    unloading unpacking washing weighing wrapping
""")
OBJECTS = _phrases("""
    anchor; apron; armchair; arrow; baking tin; bamboo pole; banner; barrel; basket; beehive; bell; belt; bench;
    bicycle; birdhouse; biscuit tin; blanket; boat; bolt; bookend; bottle; bow tie; bowl; bracelet; breadboard;
    brick; bridle; broom; brooch; bucket; buckle; bulb; button; cabinet; cable; candle; candlestick; canoe; card;
    carpet; carton; cartwheel; casserole; chain; chair; chisel; clarinet; clock; coat hanger; coin; collar;
    compass; cork; crate; crown; cup; curtain; cushion; desk; doll; door handle; doormat; drum; dustpan; earring;
    easel; egg cup; envelope; fan; feather; fiddle; fishing rod; flag; flask; flowerpot; flute; footstool; fork;
    fountain pen; funnel; garland; glove; goblet; guitar; hairpin; hammer; hammock; handbag; harmonica; harp;
    hat; helmet; hinge; hook; hoop; horn; horseshoe; hose; hourglass; jar; jug; kettle; key; keyring; kite;
    ladder; ladle; lamp; lampshade; lantern; lid; lock; locket; magnet; magnifying glass; marble; mask; mattress;
    medal; mirror; mug; nail; napkin; necklace; needle; net; notebook; oar; oil can; oil lamp; organ pipe;
    paddle; padlock; paintbrush; pan; parasol; parcel; peg; pen; pencil; pendant; penknife; pillow; pitcher;
    plank; planter; plate; postcard; pot; pouch; pump; puppet; purse; puzzle; quilt; racket; raincoat; rake;
    ribbon; ring; rocking horse; roof tile; rope; rucksack; rug; ruler; sack; saddle; sail; sandal; saucepan;
    saucer; saw; scarf pin; screw; shield; shovel; sieve; skateboard; ski; sledge; sleeping bag; slipper;
    soap dish; spade; spanner; spoon; stamp; stool; suitcase; sundial; sword; tablecloth; tambourine; tankard;
    teapot; telescope; tent; thermometer; thimble; tile; toolbox; torch; towel; toy train; tray; trowel; trumpet;
    trunk; tyre; umbrella; vase; vest; violin; waistcoat; walking stick; wallet; watering can; weather vane;
    wheel; wheelbarrow; whistle; wig; wind chime; windowpane; wine glass; wool sock; wreath; xylophone; zip
""")
QUALITIES = _words("""
    amber antique battered beige black blue bronze brass broken brown carved cheap checked chipped copper cracked cream
    crimson dented embroidered enamelled engraved faded floral folding foreign glass golden green grey handmade heavy
    imported inlaid ivory large lacquered leather light linen long lost matching metal miniature new old orange oval
    painted patched patterned pink plain plastic polished portable purple quilted red round rusty scarlet second-hand
    shiny silk silver small spare spotted square striped sturdy tarnished tin turquoise unsold used varnished velvet
    vintage violet waterproof white wicker wooden worn woollen yellow
""")
HOSTS = _words("""
    allotment anniversary autumn charity chess choir church city club college county cycling dance department district
    drama embassy factory family farewell festival football gardening guild harbour harvest hiking hospital island
    knitting library lunchtime midnight midsummer midwinter museum neighbourhood office orchard poetry regional
    riverside rowing sailing school science scout seaside society spring staff street student summer sunrise swimming
    theatre town trade university valley village volunteer weekend winter youth
""")
EVENTS = _phrases("""
    auction; bake sale; banquet; barbecue; bazaar; breakfast; brunch; camp; carnival; celebration; ceremony;
    competition; conference; contest; course; cruise; debate; dinner; display; excursion; exhibition; expedition;
    fair; feast; festival; flea market; fundraiser; gala; gathering; handicraft day; jubilee; league; lecture;
    lottery; lunch; market; marathon; meeting; open day; outing; parade; party; picnic; prize-giving; procession;
    quiz; race; raffle; rally; reception; recital; rehearsal; retreat; reunion; seminar; show; social; supper;
    survey; talent show; tea party; tour; tournament; treasure hunt; trip; walk; workshop; yard sale
""")
TIMES = _phrases("""
    this morning; this afternoon; this evening; tonight; tomorrow; this weekend; this week; all week; all day;
    before breakfast; after breakfast; before lunch; after lunch; before dinner; after dark; at dawn; at sunrise;
    at noon; at dusk; at midnight; late at night; in the early morning; during the lunch break;
    during the tea break; in the rain; in the snow; in bright sunshine; in thick fog; during a heatwave;
    during a thunderstorm; in early spring; in late spring; in high summer; in early autumn; in late autumn;
    in midwinter; over the holidays; again today; once again; for the first time; for the last time;
    without any help; with great care; in a hurry; at a gentle pace; by candlelight; by torchlight;
    with frozen fingers; against the clock; between showers; on a windy day; on a frosty day; on a rainy day;
    on a quiet day; during the school holidays; after the storm; before the guests arrive; until the bus comes;
    while the kettle boils; as the sun sets; as usual; just for fun; for a small fee; free of charge
""")
PAPERS = _phrases("""
    answer sheet; blackboard; booklet; brochure; calendar; catalogue; class newsletter; crossword; diary;
    evening class; exam paper; fact sheet; flash cards; general knowledge quiz; guest book; guidebook; handbook;
    homework sheet; information board; invitation; journal; label; leaflet; lesson; letter; log book; manual;
    members' magazine; menu; monthly bulletin; morning briefing; notebook; notice board; page of puzzles;
    pamphlet; parish magazine; practice test; programme; pub quiz; puzzle corner; question box;
    radio phone-in; reading circle; record book; report; revision guide; riddle book; scrapbook; shop window;
    spelling bee; study group; teaching aid; textbook; trade journal; travel guide; vocabulary notebook;
    wall display; weekly column; welcome pack; workbook; yearbook
""")
TROUBLES = _phrases("""
    rain; fog; snow; a late train; a power cut; a flat tyre; a lost key; a burst pipe; a strike; a broken clock;
    a traffic jam; a missing parcel; a sudden storm; a leaking roof; a delayed ferry; a misprint;
    an empty fuel tank; a fallen tree; a noisy crowd; a closed road; a heavy frost; a wasps' nest;
    a spelling mistake; a mix-up; a sore throat; a stuck lift; a blocked drain; a broken window; a runaway goat;
    a smoky chimney; a wrong address; a cold snap; a loose wire
""")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
