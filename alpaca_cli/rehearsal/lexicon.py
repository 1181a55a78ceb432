"""Nouns by kind, moods of words, opposites and rhymes: what classification and word tasks know for certain."""

from __future__ import annotations


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(";"))


KINDS = {
    "animal": _phrases("""
        antelope; badger; bat; bear; beaver; bison; boar; camel; cheetah; crab; deer; dolphin; donkey; elephant;
        falcon; ferret; fox; frog; gazelle; giraffe; goat; goose; hamster; hare; hedgehog; heron; horse; hyena;
        jackal; kangaroo; koala; leopard; lion; lizard; llama; lobster; lynx; magpie; mole; monkey; moose; mouse;
        octopus; ostrich; otter; owl; ox; panther; parrot; pelican; penguin; pigeon; rabbit; raven; reindeer;
        rhinoceros; seal; sheep; snail; sparrow; squirrel; stork; swan; tiger; toad; tortoise; vulture; walrus;
        weasel; whale; wolf; wombat; zebra"""),
    "plant": _phrases("""
        alder; ash tree; azalea; bamboo; beech; birch; bluebell; buttercup; cactus; carnation; cedar; clover;
        cypress; daffodil; dahlia; daisy; dandelion; elm; eucalyptus; fern; fir; foxglove; geranium; hawthorn;
        heather; hibiscus; holly; hyacinth; hydrangea; ivy; jasmine; juniper; larch; lavender; lilac; lily;
        lupin; magnolia; maple; marigold; mistletoe; moss; nettle; oak; orchid; peony; pine; poplar; poppy;
        primrose; rhododendron; rose; snowdrop; spruce; sunflower; sycamore; thistle; tulip; willow; wisteria;
        yew"""),
    "tool": _phrases("""
        anvil; awl; axe; broom; chisel; clamp; corkscrew; crowbar; drill; hacksaw; hammer; hoe; ladle; lever;
        mallet; nutcracker; penknife; pickaxe; pitchfork; pliers; plough; rake; rolling pin; sandpaper; saw;
        scissors; screwdriver; scythe; shears; shovel; sickle; sieve; spade; spanner; spatula; stapler; tongs;
        trowel; tweezers; wrench"""),
    "instrument": _phrases("""
        accordion; bagpipes; banjo; bassoon; bugle; castanets; cello; clarinet; cornet; cymbals; double bass;
        drum; fiddle; flute; glockenspiel; gong; guitar; harmonica; harp; harpsichord; lute; lyre; mandolin;
        marimba; oboe; organ; piano; piccolo; recorder; saxophone; sitar; tambourine; triangle; trombone;
        trumpet; tuba; ukulele; viola; violin; xylophone; zither"""),
    "garment": _phrases("""
        anorak; apron; beret; blazer; blouse; bonnet; cape; cardigan; cloak; coat; dress; dressing gown;
        dungarees; fleece; glove; hat; hoodie; jacket; jeans; jumper; kilt; kimono; leggings; mitten; nightgown;
        overalls; parka; petticoat; poncho; pullover; pyjamas; raincoat; robe; sari; sash; scarf; shawl; shirt;
        shorts; skirt; sock; stocking; suit; sweater; tie; tights; trousers; tunic; turban; tuxedo; vest;
        waistcoat"""),
    "vehicle": _phrases("""
        aeroplane; ambulance; barge; bicycle; bulldozer; bus; cab; canoe; car; caravan; carriage; cart;
        catamaran; coach; dinghy; ferry; fire engine; forklift; glider; gondola; helicopter; hovercraft; jeep;
        kayak; limousine; lorry; minibus; moped; motorbike; raft; rickshaw; rowing boat; sailing boat; scooter;
        sledge; snowmobile; speedboat; steamroller; submarine; taxi; tractor; train; tram; tricycle; trolleybus;
        truck; tugboat; unicycle; van; yacht"""),
    "fruit": _phrases("""
        apple; apricot; banana; blackberry; blackcurrant; blueberry; cherry; clementine; coconut; cranberry;
        damson; elderberry; fig; gooseberry; grape; grapefruit; guava; kiwi; lemon; lime; lychee; mandarin;
        mango; melon; mulberry; nectarine; orange; papaya; passion fruit; peach; pear; persimmon; pineapple;
        plum; pomegranate; quince; raspberry; redcurrant; strawberry; tangerine; watermelon"""),
    "vegetable": _phrases("""
        artichoke; asparagus; beetroot; broccoli; cabbage; carrot; cauliflower; celeriac; celery; chard; fennel;
        garlic; kale; kohlrabi; leek; lettuce; onion; parsnip; potato; radish; salsify; shallot; spinach;
        spring onion; swede; sweet potato; turnip; watercress; yam"""),
    "piece of furniture": _phrases("""
        armchair; bed; bench; bookcase; bunk bed; bureau; cabinet; chair; chaise longue; chest of drawers; cot;
        couch; cradle; cupboard; deckchair; desk; dresser; footstool; hat stand; high chair; nightstand; ottoman;
        rocking chair; sideboard; sofa; stool; table; wardrobe; writing desk"""),
    "metal": _phrases("""
        aluminium; brass; bronze; chromium; cobalt; copper; gold; iron; lead; magnesium; mercury; nickel; pewter;
        platinum; silver; steel; tin; titanium; tungsten; zinc"""),
    "dish": _phrases("""
        cheesecake; chowder; curry; dumplings; fish pie; fondue; fritters; goulash; lasagne; minestrone;
        moussaka; omelette; paella; pancakes; pizza; porridge; quiche; ratatouille; ravioli; rice pudding;
        risotto; samosas; sandwich; shepherd's pie; souffle; spaghetti; stew; strudel; sushi; tart; trifle;
        waffles"""),
}
PRAISE = _phrases("""
    admirable; amusing; beautiful; brilliant; charming; comfortable; delicious; delightful; elegant; excellent;
    exciting; fantastic; flawless; fresh; friendly; generous; gorgeous; graceful; helpful; impressive; inspiring;
    lovely; magnificent; marvellous; perfect; pleasant; polite; prompt; reliable; spotless; superb; tasty;
    terrific; thoughtful; welcoming; wonderful""")
BLAME = _phrases("""
    appalling; awful; boring; broken; chaotic; clumsy; cramped; dirty; disappointing; dreadful; dull; faulty;
    filthy; flimsy; gloomy; horrible; inedible; miserable; mouldy; noisy; overpriced; painful; poor; rude;
    ruined; rusty; shabby; slow; smelly; soggy; stale; tasteless; terrible; ugly; unfriendly; unpleasant;
    useless; worthless""")
OPPOSITES = tuple(
    (pair.split()[0], pair.split()[1])
    for pair in _phrases("""
        above below; absent present; accept refuse; alive dead; always never; ancient modern; arrive depart;
        asleep awake; attack defend; beginning end; bitter sweet; blunt sharp; borrow lend; bottom top;
        brave cowardly; bright dim; buy sell; careful careless; ceiling floor; cheap expensive; clean dirty;
        closed open; cold hot; cruel kind; damp dry; dark light; daughter son; day night; deep shallow;
        defeat victory; difficult easy; early late; east west; empty full; enemy friend; enter leave;
        entrance exit; fail succeed; false true; far near; fast slow; fat thin; fiction fact; find lose;
        first last; foolish wise; forget remember; forward backward; freeze melt; front back; future past;
        generous mean; gentle rough; giant dwarf; give take; guest host; guilty innocent; happy sad; hard soft;
        heavy light; high low; hollow solid; import export; increase decrease; indoors outdoors; innocent guilty;
        inside outside; join separate; junior senior; knowledge ignorance; large small; laugh cry;
        lazy industrious; left right; legal illegal; long short; loose tight; lost found; loud quiet; love hate;
        major minor; male female; many few; maximum minimum; narrow wide; nephew niece; new old; noisy quiet;
        north south; odd even; often rarely; optimist pessimist; peace war; permanent temporary; polite rude;
        poor rich; possible impossible; pull push; question answer; raise lower; rural urban; safe dangerous;
        save spend; singular plural; sink float; smooth rough; sober drunk; start stop; straight crooked;
        strong weak; summer winter; sunrise sunset; tall short; tame wild; teacher pupil; thick thin; tidy messy;
        transparent opaque; ugly beautiful; uncle aunt; up down; vertical horizontal; visible invisible; wet dry;
        whisper shout; win lose; young old""")
)
RHYMES = tuple(
    tuple(group.split())
    for group in _phrases("""
        cat hat bat mat rat flat; light night bright kite white flight; train rain plane chain grain;
        tree bee sea key knee; moon spoon June tune balloon; house mouse blouse; bear chair pear hair square;
        boat coat goat note throat; cake lake snake rake steak; ring king spring string wing;
        ball wall hall fall crawl; star car jar guitar; bed bread red head thread; gold cold old bold fold;
        hill mill pill grill; day clay tray sleigh grey; snow crow toe go dough; clock rock sock lock;
        dog fog log frog; book cook hook brook; nest best chest west guest; sand hand band land;
        ship trip clip chip; tower flower shower hour; fish dish wish; shell bell well smell; nose rose toes;
        face place lace space; heart part art cart; duck truck luck; four door floor shore; sun bun run;
        sky pie fly high; green queen bean screen; stone phone throne bone; feather leather weather""")
)
SPELLING_WORDS = _phrases("""
    abbreviation; accident; adventure; afternoon; almanac; ambition; anniversary; apartment; architecture;
    assembly; astronomy; avalanche; balloon; barometer; basement; battery; biscuit; blackberry; boundary;
    breakfast; brilliant; butterfly; calendar; calculation; candlestick; carpenter; cathedral; celebration;
    certificate; champion; character; chimney; chocolate; cinnamon; committee; compartment; conversation;
    cooperation; coriander; correspondence; crocodile; cucumber; curiosity; customer; dandelion; declaration;
    decoration; democracy; department; dictionary; disappointment; discovery; distillery; document; earthquake;
    education; electricity; elephant; embroidery; emergency; encyclopedia; entertainment; envelope; equipment;
    evaporation; examination; excellent; excursion; expedition; experiment; explanation; federation; fingerprint;
    fireplace; foundation; fountain; furniture; generation; geography; gingerbread; government; grasshopper;
    gymnasium; handkerchief; happiness; harbour; harvester; hazelnut; headquarters; helicopter; hippopotamus;
    hospitality; hurricane; illustration; imagination; improvement; independence; information; ingredient;
    innovation; inspector; instruction; international; invention; invitation; judgement; kangaroo; kilometre;
    kingdom; laboratory; landscape; language; lavender; leadership; legislation; lemonade; lighthouse; limestone;
    literature; locomotive; machinery; magnificent; maintenance; mandarin; marmalade; mathematics; measurement;
    mechanism; medicine; membership; merchandise; microscope; migration; millennium; mineral; mountain; mushroom;
    mysterious; narrator; navigation; necessary; neighbourhood; newspaper; nightingale; notebook; nutrition;
    observation; occurrence; operation; opportunity; orchestra; organisation; ornament; oxygen; parallel;
    parliament; passenger; pavement; peninsula; pepper; performance; permission; philosophy; pineapple; platform;
    playground; pomegranate; population; porcelain; possession; preparation; president; principle; procession;
    production; programme; pronunciation; property; pyramid; quarantine; raspberry; recommendation;
    reconstruction; refrigerator; regulation; relationship; republic; reservation; restaurant; revolution;
    rhinoceros; sandwich; satellite; saxophone; scaffolding; secretary; settlement; significance; skeleton;
    snowflake; solution; spectator; staircase; strawberry; submarine; successful; sunflower; supermarket;
    switchboard; synchronise; television; temperature; tournament; transformation; translation; transportation;
    triangle; trombone; typewriter; umbrella; underground; university; vaccination; vegetable; ventilation;
    vocabulary; volcano; volunteer; warehouse; waterfall; watermelon; wilderness; windmill;
    xylophone; yesterday""")
